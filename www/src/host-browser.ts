import { aborted } from './channel.js';
import { RegraftError } from './errors.js';
import { portsOf, type Host } from './host.js';
import { chooseBuild, instantiate, wasmUrl } from './loader.js';

/** A page, or a worker of the user's own. */
export function browserHost(): Host {
  return {
    threads: () => navigator.hardwareConcurrency || 1,
    // crossOriginIsolated is absent in older browsers.
    build: (threads) => chooseBuild(threads && globalThis.crossOriginIsolated === true),
    compile: async (build, assetsUrl, signal) => compile(wasmUrl(build, assetsUrl === undefined ? undefined : absolute(assetsUrl)), signal),
    instantiate: async (module, build) => (await instantiate(module, build)).wasm,
    async mayHaveGpu() {
      const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<unknown> } };
      // Where asking fails, the engine finds out why.
      return gpu === undefined || await gpu.requestAdapter().then((adapter) => adapter !== null, () => true);
    },
    startWorker(onFailure) {
      const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
      worker.onerror = (event) => {
        event.preventDefault();
        onFailure(event.message || 'the worker script could not be loaded');
      };
      return { boot: (message) => worker.postMessage(message, portsOf(message.role)), terminate: () => worker.terminate() };
    },
    locate: async (source) => ({ kind: 'url', url: absolute(source).href }),
  };
}

function absolute(url: string | URL): URL {
  const base = typeof document === 'undefined' ? location.href : document.baseURI;
  try {
    return new URL(url, base);
  } catch {
    throw new RegraftError('bad-option', `not a URL: ${String(url)}`);
  }
}

async function compile(url: URL, signal: AbortSignal | undefined): Promise<WebAssembly.Module> {
  try {
    const response = await fetch(url, { signal: signal ?? null });
    if (!response.ok) throw new RegraftError('network', `${url.href}: status ${response.status}`, undefined, { status: response.status });
    // Some static hosts do not know the type; streaming insists on it.
    const streams = response.headers.get('content-type') === 'application/wasm';
    return await (streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer()));
  } catch (error) {
    if (signal?.aborted) throw aborted();
    if (error instanceof RegraftError) throw error;
    throw new RegraftError('network', `${url.href} could not be loaded: ${String(error)}`);
  }
}
