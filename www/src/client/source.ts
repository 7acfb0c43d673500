import type { ModelSource, ZooName } from '../api.js';
import type { Host } from '../host.js';
import type { LoadArgs, WireSource } from '../protocol.js';
import { badOption } from './options.js';

type OneFile = string | URL | Blob | Uint8Array | ArrayBuffer;

/** A source in a form the worker takes, and the architecture its weights are for. */
export async function toWireSource(host: Host, source: ModelSource, architecture: ZooName | undefined): Promise<Pick<LoadArgs, 'source' | 'architecture'>> {
  if (isOneFile(source)) return { source: await oneFile(host, source), architecture };
  if (typeof source === 'object' && source !== null && 'files' in source) {
    const files = Object.entries(source.files).map(([name, file]) => [name, file instanceof Blob ? file : alone(file)] as const);
    return { source: { kind: 'files', files: Object.fromEntries(files) }, architecture };
  }
  if (typeof source !== 'object' || source === null || !('zoo' in source)) {
    throw badOption('source', "a URL, a Blob, bytes, { files } or { zoo, weights }");
  }
  const { zoo, weights } = source;
  if (weights === undefined) throw badOption('weights', "a URL or a file, or 'none' for random weights: this package downloads nothing by itself");
  return { source: weights === 'none' ? { kind: 'none' } : await oneFile(host, weights), architecture: zoo };
}

function isOneFile(source: ModelSource): source is OneFile {
  return typeof source === 'string' || source instanceof URL || source instanceof Blob || source instanceof Uint8Array || source instanceof ArrayBuffer;
}

async function oneFile(host: Host, source: OneFile): Promise<WireSource> {
  if (typeof source === 'string' || source instanceof URL) return host.locate(source);
  if (source instanceof Blob) {
    const name = typeof File !== 'undefined' && source instanceof File ? source.name : 'model';
    return { kind: 'files', files: { [name]: source } };
  }
  return { kind: 'files', files: { model: alone(source instanceof ArrayBuffer ? new Uint8Array(source) : source) } };
}

/** A view of a larger buffer would be sent with all of that buffer. */
function alone(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength < bytes.buffer.byteLength ? bytes.slice() : bytes;
}
