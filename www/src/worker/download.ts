import { aborted } from '../channel.js';
import { RegraftError } from '../errors.js';
import { verifyIntegrity } from './integrity.js';
import { lookUp, store } from './storage.js';

export interface DownloadOptions {
  integrity: string | undefined;
  /** Look in the browser's storage first, and keep what came. */
  cache: boolean;
  signal: AbortSignal;
  onProgress(loaded: number, total: number | undefined): void;
}

/** The bytes behind a URL, checked against `integrity`. */
export async function download(url: string, options: DownloadOptions): Promise<Uint8Array<ArrayBuffer>> {
  const { integrity, cache, signal, onProgress } = options;
  const kept = cache ? await lookUp(url, integrity) : undefined;
  if (kept) {
    onProgress(kept.byteLength, kept.byteLength);
    return kept;
  }
  const bytes = await fetchBytes(url, signal, onProgress);
  if (integrity !== undefined) await verifyIntegrity(bytes, integrity, url);
  if (cache) await store(url, integrity, bytes);
  return bytes;
}

async function fetchBytes(url: string, signal: AbortSignal, onProgress: DownloadOptions['onProgress']): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const response = await fetch(url, { signal });
    const { ok, status, headers, body } = response;
    if (!ok || !body) throw new RegraftError('network', `${url}: status ${status}`, undefined, { status });
    // Of a compressed transfer, the length says nothing about the bytes that arrive here.
    const length = headers.get('content-encoding') === null ? Number(headers.get('content-length')) : 0;
    return await collect(body, length > 0 ? length : undefined, onProgress);
  } catch (error) {
    if (signal.aborted) throw aborted();
    if (error instanceof RegraftError) throw error;
    throw new RegraftError('network', `${url} could not be downloaded: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Bytes to start with where the length is unknown, and the most believed of a length that is claimed. */
const FIRST_BYTES = 1 << 20;
const MOST_BELIEVED = 1 << 30;

/** Reads a stream into place: with a true length nothing is copied twice. */
async function collect(
  body: ReadableStream<Uint8Array>, total: number | undefined, onProgress: DownloadOptions['onProgress'],
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes = new Uint8Array(Math.min(total ?? FIRST_BYTES, MOST_BELIEVED));
  let loaded = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return loaded === bytes.length ? bytes : bytes.slice(0, loaded);
    if (loaded + value.length > bytes.length) {
      const larger = new Uint8Array(Math.max(2 * bytes.length, loaded + value.length));
      larger.set(bytes.subarray(0, loaded));
      bytes = larger;
    }
    bytes.set(value, loaded);
    loaded += value.length;
    onProgress(loaded, total);
  }
}
