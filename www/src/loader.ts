import type { SimdBuild } from './api.js';
import { RegraftError } from './errors.js';
import type { WasmModule } from './wasm-module.js';

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

/** The fastest build this machine runs. A module is validated whole, so one newer opcode would rule out an entire build. */
export function chooseBuild(validate: (bytes: Uint8Array<ArrayBuffer>) => boolean = WebAssembly.validate): SimdBuild {
  if (validate(RELAXED_SIMD_PROBE)) return 'relaxed-simd';
  if (validate(SIMD_PROBE)) return 'simd128';
  throw new RegraftError('internal', 'WebAssembly SIMD is needed: Chrome 91, Firefox 89, Safari 16.4, Node 16.4 or newer');
}

/** Address of a build. The literal URLs are what bundlers look for. */
export function wasmUrl(build: SimdBuild, assetsUrl?: URL): URL {
  if (assetsUrl) return new URL(`${build}/regraft_bg.wasm`, folder(assetsUrl));
  return build === 'relaxed-simd'
    ? new URL('./wasm/relaxed-simd/regraft_bg.wasm', import.meta.url)
    : new URL('./wasm/simd128/regraft_bg.wasm', import.meta.url);
}

function folder(url: URL): URL {
  return url.pathname.endsWith('/') ? url : new URL(`${url.pathname}/`, url);
}

/** Makes the module's one instance in this thread. */
export async function instantiate(module: WebAssembly.Module, build: SimdBuild): Promise<WasmModule> {
  const glue = build === 'relaxed-simd'
    ? await import('./wasm/relaxed-simd/regraft.js')
    : await import('./wasm/simd128/regraft.js');
  await glue.default({ module_or_path: module });
  return glue as unknown as WasmModule;
}
