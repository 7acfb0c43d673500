import type { Progress } from '../api.js';
import { RegraftError } from '../errors.js';
import type { SampleRef } from '../protocol.js';
import type { Cut, WasmFeatures, WasmModel, WasmModule } from '../wasm-module.js';
import { Meter } from '../meter.js';
import { targetOf } from './labels.js';
import type { TrunkPool } from './pool.js';
import type { Rows, SampleStores } from './samples.js';

/** What featurizing needs beside model and data. */
export interface FeaturizeContext {
  readonly wasm: WasmModule;
  readonly pool: TrunkPool;
  readonly stores: SampleStores;
  /** Throws 'over-budget' when so many bytes more are too many. */
  reserve(bytes: number): void;
}

/** Who waits for the work. */
export interface Caller { readonly signal: AbortSignal; progress(p: Progress): void }

/** The frozen part of a model. */
export interface Trunk { model: WasmModel; at: Cut }

/** Runs a trunk on images; what it has seen before is not run again. */
export async function featurize(
  context: FeaturizeContext, trunk: Trunk, samples: SampleRef, dtype: 'f32' | 'f16', caller: Caller,
): Promise<WasmFeatures> {
  const { wasm, stores } = context;
  const { indices, labels, groupOf } = samples;
  const trunkKey = trunk.model.trunkKey(trunk.at);
  const rows = stores.rows(samples, trunkKey);
  await addMissing(context, trunk, trunkKey, samples, rows, caller);

  const features = wasm.WasmFeatures.create(rows.tensors, { count: indices.length, labels, trunkKey, dtype, views: 1 });
  indices.forEach((index, row) => (
    features.set(row, targetOf(samples, row), stores.image(samples, index).id, groupOf[row]!, rows.byImage.get(index)!)));
  return features;
}

async function addMissing(
  context: FeaturizeContext, { model, at }: Trunk, key: string, samples: SampleRef, rows: Rows, caller: Caller,
): Promise<void> {
  const missing = [...new Set(samples.indices)].filter((index) => !rows.byImage.has(index));
  if (missing.length === 0) return;
  const { pool, stores } = context;
  let kept: Uint8Array | undefined;
  const bytes = (): Uint8Array => (kept ??= model.trunk(at));
  context.reserve(missing.length * rowBytes(model, at) + pool.size * bytes().byteLength);

  const meter = new Meter('featurize', caller.progress);
  // One image that fails ends the work on the others.
  const work = new AbortController();
  const onAbort = (): void => work.abort(caller.signal.reason);
  if (caller.signal.aborted) onAbort();
  caller.signal.addEventListener('abort', onAbort);
  let done = 0;
  try {
    await Promise.all(missing.map(async (index) => {
      const image = stores.image(samples, index);
      const { features, tensors } = await pool.featurize({ key, bytes }, image, work.signal).catch(naming(image.id));
      rows.tensors = tensors;
      rows.byImage.set(index, features);
      meter.report(++done, missing.length);
    }));
  } finally {
    work.abort(new RegraftError('aborted', 'another image failed'));
    caller.signal.removeEventListener('abort', onAbort);
  }
}

/** Bytes of all boundary tensors of one image. */
function rowBytes(model: WasmModel, at: Cut): number {
  const boundary = new Set(model.boundary(at));
  const sizes = model.info().vertices.filter(({ name }) => boundary.has(name)).map(({ outputShape }) => (
    // The batch is the dimension that is not known, or the first.
    outputShape.slice(1).reduce<number>((product, size) => product * (size ?? 1), 1)));
  return 4 * sizes.reduce((sum, size) => sum + size, 0);
}

/** Puts the name of the image before what is wrong with it. */
function naming(id: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof RegraftError && error.code === 'bad-image') throw new RegraftError(error.code, `${id}: ${error.message}`);
    throw error;
  };
}
