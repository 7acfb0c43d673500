import type { SimdBuild } from './api.js';
import { RegraftError } from './errors.js';
import { tileRows } from './tiles.js';
import type { ThreadedModule, WasmModule } from './wasm-module.js';

/** What can be loaded: the CPU builds, and one whose instances share a memory. Each is a folder of `wasm/`. */
export type WasmBuild = SimdBuild | 'relaxed-simd-threads';

/** An instance of a build. */
export interface Instance {
  readonly wasm: WasmModule;
  /** Of the build with threads: the memory that instances in other workers are given. */
  readonly shared?: { readonly wasm: ThreadedModule; readonly memory: WebAssembly.Memory };
}

/** (func (result v128) i32.const 0, i8x16.splat): any SIMD at all. */
const SIMD_PROBE = probe([65, 0, 253, 15]);
/** Three splats and f32x4.relaxed_madd, the instruction the faster build lives on. */
const RELAXED_SIMD_PROBE = probe([65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2]);

/** A module of one function () -> v128 with the given body. */
function probe(body: readonly number[]): Uint8Array<ArrayBuffer> {
  const header = [0, 97, 115, 109, 1, 0, 0, 0];
  const types = [1, 5, 1, 96, 0, 1, 123];
  const functions = [3, 2, 1, 0];
  const code = [10, body.length + 4, 1, body.length + 2, 0, ...body, 11];
  return Uint8Array.from([...header, ...types, ...functions, ...code]);
}

/**
 * The fastest build this machine runs; `shares`: whether memory can be shared, and is to be. A module is validated whole, so
 * one newer opcode would rule out an entire build.
 */
export function chooseBuild(shares: boolean, validate: (bytes: Uint8Array<ArrayBuffer>) => boolean = WebAssembly.validate): WasmBuild {
  // Whoever has relaxed SIMD has atomics, which are six years older.
  if (validate(RELAXED_SIMD_PROBE)) return shares ? 'relaxed-simd-threads' : 'relaxed-simd';
  if (validate(SIMD_PROBE)) return 'simd128';
  throw new RegraftError('internal', 'WebAssembly SIMD is needed: Chrome 91, Firefox 89, Safari 16.4, Node 16.4 or newer');
}

/** The instruction set of a build. */
export function simdOf(build: WasmBuild): SimdBuild {
  return build === 'simd128' ? 'simd128' : 'relaxed-simd';
}

/** Address of a build. The literal URLs are what bundlers look for. */
export function wasmUrl(build: WasmBuild, assetsUrl?: URL): URL {
  if (assetsUrl) return new URL(`${build}/regraft_bg.wasm`, folder(assetsUrl));
  switch (build) {
    case 'simd128': return new URL('./wasm/simd128/regraft_bg.wasm', import.meta.url);
    case 'relaxed-simd': return new URL('./wasm/relaxed-simd/regraft_bg.wasm', import.meta.url);
    case 'relaxed-simd-threads': return new URL('./wasm/relaxed-simd-threads/regraft_bg.wasm', import.meta.url);
    default: return build satisfies never;
  }
}

function folder(url: URL): URL {
  return url.pathname.endsWith('/') ? url : new URL(`${url.pathname}/`, url);
}

/**
 * Makes the module's one instance in this thread: on `memory`, or on one of its own.
 * Throws a RangeError where there is no room for the addresses of a shared memory.
 */
export async function instantiate(module: WebAssembly.Module, build: WasmBuild, memory?: WebAssembly.Memory): Promise<Instance> {
  switch (build) {
    case 'simd128': return start(await import('./wasm/simd128/regraft.js'), module);
    case 'relaxed-simd': return start(await import('./wasm/relaxed-simd/regraft.js'), module);
    case 'relaxed-simd-threads': {
      const glue: Glue = await import('./wasm/relaxed-simd-threads/regraft.js');
      const exports = await glue.default({ module_or_path: module, ...(memory && { memory }) });
      const wasm = glue as unknown as ThreadedModule;
      wasm.limitTileRows(tileRows());
      return { wasm, shared: { wasm, memory: exports.memory } };
    }
    default: return build satisfies never;
  }
}

async function start(glue: Glue, module: WebAssembly.Module): Promise<Instance> {
  await glue.default({ module_or_path: module });
  const wasm = glue as unknown as WasmModule;
  wasm.limitTileRows(tileRows());
  return { wasm };
}

/** What is used of wasm-bindgen's glue beside the module's own exports. */
interface Glue { default(options: { module_or_path: WebAssembly.Module; memory?: WebAssembly.Memory }): Promise<{ memory: WebAssembly.Memory }> }
