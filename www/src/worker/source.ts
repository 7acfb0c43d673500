import type { LoadProgress } from '../api.js';
import type { LoadArgs } from '../protocol.js';
import { RegraftError } from '../errors.js';
import { download } from './download.js';
import { verifyIntegrity } from './integrity.js';

/** The files of a model by name. */
export async function readSource(
  { source, cache, options: { integrity } }: LoadArgs, signal: AbortSignal, progress: (p: LoadProgress) => void,
): Promise<Map<string, Uint8Array>> {
  switch (source.kind) {
    case 'none':
      return new Map();
    case 'url': {
      const onProgress = (loaded: number, total: number | undefined): void => (
        progress({ phase: 'download', loaded, ...(total === undefined ? {} : { total }) }));
      const bytes = await download(source.url, { integrity, cache, signal, onProgress });
      return new Map([[fileName(source.url), bytes]]);
    }
    case 'files': {
      const files = await Promise.all(Object.entries(source.files).map(async ([name, file]) => (
        [name, file instanceof Blob ? new Uint8Array(await file.arrayBuffer()) : file] as const)));
      if (integrity !== undefined) await verifyOnly(files, integrity);
      return new Map(files);
    }
    default:
      return source satisfies never;
  }
}

async function verifyOnly(files: readonly (readonly [string, Uint8Array])[], integrity: string): Promise<void> {
  const [file] = files;
  if (!file || files.length > 1) throw new RegraftError('bad-option', "option 'integrity': one file has one digest, several cannot be checked");
  await verifyIntegrity(file[1] as Uint8Array<ArrayBuffer>, integrity, file[0]);
}

function fileName(url: string): string {
  const last = new URL(url).pathname.split('/').pop();
  return last === undefined || last === '' ? 'model' : decodeURIComponent(last);
}
