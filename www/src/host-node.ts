import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, isAbsolute } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker, type MessagePort as NodeMessagePort } from 'node:worker_threads';
import { RegraftError } from './errors.js';
import { portsOf, type Host } from './host.js';
import { chooseBuild, instantiate, wasmUrl } from './loader.js';
import type { WireSource } from './protocol.js';

/** Node: wasm is read from the package folder, workers are worker_threads. */
export function nodeHost(): Host {
  return {
    threads: availableParallelism,
    // Relaxed SIMD came to Node with version 21, and the build with threads has not been tried there.
    build: () => chooseBuild(false),
    async compile(build, assetsUrl, signal) {
      const url = wasmUrl(build, assetsUrl === undefined ? undefined : toUrl(assetsUrl));
      const bytes = await readFile(url, { signal }).catch((error: unknown) => {
        throw new RegraftError(signal?.aborted ? 'aborted' : 'network', `${url.href} could not be read: ${String(error)}`);
      });
      return WebAssembly.compile(bytes);
    },
    instantiate: async (module, build) => (await instantiate(module, build)).wasm,
    mayHaveGpu: async () => true,
    startWorker(onFailure) {
      const worker = new Worker(new URL('./worker-node.js', import.meta.url));
      worker.on('error', (error) => onFailure(String(error)));
      return {
        boot: (message) => worker.postMessage(message, portsOf(message.role) as unknown as NodeMessagePort[]),
        terminate: () => void worker.terminate(),
      };
    },
    async locate(source): Promise<WireSource> {
      const url = toUrl(source);
      if (url.protocol !== 'file:') return { kind: 'url', url: url.href };
      const path = fileURLToPath(url);
      const bytes = await readFile(path).catch((error: unknown) => {
        throw new RegraftError('network', `${path} could not be read: ${String(error)}`);
      });
      return { kind: 'files', files: { [basename(path)]: bytes } };
    },
  };
}

/** A URL, or a path as the file system has it (whose drive letter would parse as a protocol). */
function toUrl(source: string | URL): URL {
  if (source instanceof URL) return source;
  return URL.canParse(source) && !isAbsolute(source) ? new URL(source) : pathToFileURL(source);
}
