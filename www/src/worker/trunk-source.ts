import type { TrunkSource } from '../protocol.js';
import type { SharedTrunk } from '../wasm-module.js';
import type { Instance } from '../loader.js';
import type { Trunk } from './featurize.js';
import { infoOf } from './info.js';

/** Where the pool's workers get one trunk from: each a copy of its own, or all of them the same weights in shared memory. */
export interface TrunkSources {
  /** Bytes of weights that so many workers will hold. */
  weightBytes(workers: number): number;
  /** For one worker more. */
  get(): TrunkSource;
  free(): void;
}

export function trunkSource({ shared }: Instance, { model, at }: Trunk): TrunkSources {
  if (!shared) {
    let bytes: Uint8Array | undefined;
    const once = (): Uint8Array => (bytes ??= model.trunk(at));
    return { weightBytes: (workers) => workers * once().byteLength, get: () => ({ kind: 'bytes', bytes: once() }), free: () => undefined };
  }
  let trunk: SharedTrunk | undefined;
  return {
    weightBytes: () => 4 * infoOf(model).parameters.total,
    get: () => ({ kind: 'shared', number: (trunk ??= shared.wasm.WasmTrunk.of(model, at)).handOver() }),
    free: () => trunk?.free(),
  };
}
