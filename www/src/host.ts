import type { WasmBuild } from './loader.js';
import type { Boot, Role, WireSource } from './protocol.js';
import type { WasmModule } from './wasm-module.js';

/** A started worker. */
export interface HostWorker {
  boot(message: Boot): void;
  terminate(): void;
}

/** What differs between a browser and Node, seen from the thread that calls createEngine(). */
export interface Host {
  /** Cores. */
  threads(): number;
  /** The fastest build; with `threads`, the one whose instances share a memory, where the platform lets them. */
  build(threads: boolean): WasmBuild;
  compile(build: WasmBuild, assetsUrl: string | URL | undefined, signal: AbortSignal | undefined): Promise<WebAssembly.Module>;
  /**
   * An instance that shares its memory with no worker, for index arithmetic, which must answer at once. Rejects with a RangeError where
   * there is no room for the addresses of a memory that can be shared.
   */
  instantiate(module: WebAssembly.Module, build: WasmBuild): Promise<WasmModule>;
  /** Whether there may be a GPU. Browsers take a while to tell, so they are asked while the module is compiled; the engine asks again. */
  mayHaveGpu(): Promise<boolean>;
  startWorker(onFailure: (reason: string) => void): HostWorker;
  /** Resolves what a user wrote against the page, or against the working directory. */
  locate(source: string | URL): Promise<WireSource>;
}

/** What has to be transferred to a worker with its role. */
export function portsOf(role: Role): MessagePort[] {
  return 'port' in role ? [role.port] : [];
}
