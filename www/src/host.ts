import type { WasmBuild } from './loader.js';
import type { Boot, Role, WireSource } from './protocol.js';
import type { WasmModule } from './wasm-module.js';

/** A started worker. */
export interface HostWorker {
  boot(message: Boot): void;
  terminate(): void;
}

/** A compiled build, and an instance of it that shares its memory with no worker. */
export interface Loaded { build: WasmBuild; module: WebAssembly.Module; wasm: WasmModule }

/** What differs between a browser and Node, seen from the thread that calls createEngine(). */
export interface Host {
  /** Cores. */
  threads(): number;
  /**
   * Compiles a build, and instantiates it here for index arithmetic, which must answer at once. With `threads`, the build whose
   * instances share a memory, where the platform lets them.
   */
  wasm(assetsUrl: string | URL | undefined, threads: boolean, signal: AbortSignal | undefined): Promise<Loaded>;
  startWorker(onFailure: (reason: string) => void): HostWorker;
  /** Resolves what a user wrote against the page, or against the working directory. */
  locate(source: string | URL): Promise<WireSource>;
}

/** What has to be transferred to a worker with its role. */
export function portsOf(role: Role): MessagePort[] {
  return 'port' in role ? [role.port] : [];
}
