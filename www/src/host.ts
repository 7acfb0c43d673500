import type { SimdBuild } from './api.js';
import type { Boot, WireSource } from './protocol.js';
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
  /** Compiles a build, and instantiates it here for index arithmetic, which must answer at once. */
  wasm(assetsUrl: string | URL | undefined, signal: AbortSignal | undefined): Promise<{ build: SimdBuild; module: WebAssembly.Module; wasm: WasmModule }>;
  startWorker(onFailure: (reason: string) => void): HostWorker;
  /** Resolves what a user wrote against the page, or against the working directory. */
  locate(source: string | URL): Promise<WireSource>;
}
