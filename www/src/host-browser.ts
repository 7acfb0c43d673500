import { aborted } from './channel.js';
import { RegraftError } from './errors.js';
import { portsOf, type Host, type Loaded } from './host.js';
import { chooseBuild, instantiate, wasmUrl, type WasmBuild } from './loader.js';

/** A page, or a worker of the user's own. */
export function browserHost(): Host {
  return {
    threads: () => navigator.hardwareConcurrency || 1,
    async wasm(assetsUrl, threads, signal) {
      const load = async (build: WasmBuild): Promise<Loaded> => {
        const module = await compile(wasmUrl(build, assetsUrl === undefined ? undefined : absolute(assetsUrl)), signal);
        return { build, module, wasm: (await instantiate(module, build)).wasm };
      };
      // Absent in older browsers.
      const build = chooseBuild(threads && globalThis.crossOriginIsolated === true);
      return load(build).catch((error: unknown) => {
        // A shared memory reserves the addresses of all it may grow to, which small devices do not give.
        if (error instanceof RangeError && build !== chooseBuild(false)) return load(chooseBuild(false));
        throw error;
      });
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
