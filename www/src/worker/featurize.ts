import type { Progress } from '../api.js';
import { RegraftError } from '../errors.js';
import type { FeaturizeSettings, ImageFeatures, SampleRef, ViewsRef } from '../protocol.js';
import type { Cut, FeatureTensor, ViewOptions, WasmDevice, WasmFeatures, WasmModel } from '../wasm-module.js';
import { Meter } from '../meter.js';
import type { EngineDevice } from './device.js';
import type { GpuTrunk } from './gpu-trunk.js';
import { infoOf } from './info.js';
import { targetOf } from './labels.js';
import type { Instance } from '../loader.js';
import type { TrunkPool } from './pool.js';
import type { Rows, SampleStores } from './samples.js';
import { trunkSource } from './trunk-source.js';

/** What featurizing needs beside model and data. */
export interface FeaturizeContext {
  readonly instance: Instance;
  readonly pool: TrunkPool;
  readonly device: EngineDevice;
  readonly gpuTrunk: GpuTrunk;
  readonly stores: SampleStores;
  /** Throws 'over-budget' when so many bytes more are too many. */
  reserve(bytes: number): void;
}

/** Who waits for the work. */
export interface Caller { readonly signal: AbortSignal; progress(p: Progress): void }

/** The frozen part of a model. */
export interface Trunk { model: WasmModel; at: Cut }

/** Features as they are trained and measured on where nobody asked for others. */
export const PLAIN: FeaturizeSettings = { dtype: 'f32', views: 0, augmentation: {}, seed: undefined };

/** Runs a trunk on images. Plain views it has seen before are not run again; augmented ones depend on the other images. */
export async function featurize(
  context: FeaturizeContext, trunk: Trunk, samples: SampleRef, settings: FeaturizeSettings, caller: Caller,
): Promise<WasmFeatures> {
  const { stores } = context;
  const key = trunk.model.trunkKey(trunk.at);
  const rows = stores.rows(samples, key);
  if (settings.views > 0) return augmented(context, trunk, key, samples, settings, rows, caller);

  const missing = [...samples.indices.keys()].filter((row) => !rows.byImage.has(samples.indices[row]!));
  await runTrunk(context, trunk, key, samples, missing, 1, () => undefined, caller, (row, { features, tensors }) => {
    rows.tensors = tensors;
    rows.byImage.set(samples.indices[row]!, features);
  });
  const made = create(context, rows.tensors, samples, key, settings);
  samples.indices.forEach((index, row) => (
    made.set(row, targetOf(samples, row), stores.image(samples, index).id, samples.groupOf[row]!, rows.byImage.get(index)!)));
  return made;
}

/** All views of all images. */
async function augmented(
  context: FeaturizeContext, trunk: Trunk, key: string, samples: SampleRef, settings: FeaturizeSettings, rows: Rows, caller: Caller,
): Promise<WasmFeatures> {
  const { instance: { wasm }, stores } = context;
  const { indices, groupOf } = samples;
  const { augmentation, seed = trunk.model.seed() } = settings;
  const options: ViewOptions = { seed, count: indices.length, size: infoOf(trunk.model).preprocessing.size };
  const perImage = settings.views + 1;
  const views = wasm.WasmViews.create(augmentation, options);
  const partnersOf = (index: number): (number | undefined)[] => (
    Array.from({ length: settings.views }, (_, at) => views.partner(index, at + 1)));
  let made: WasmFeatures | undefined;
  try {
    await runTrunk(context, trunk, key, samples, [...indices.keys()], perImage, (index) => {
      const partners = partnersOf(index).map((row) => (row === undefined ? undefined : stores.image(samples, indices[row]!).image));
      return { augmentation, options, index, partners };
    }, caller, (index, { features, tensors }) => {
      made ??= create(context, tensors, samples, key, settings);
      const [own, length] = [targetOf(samples, index), features.length / perImage];
      const { id } = stores.image(samples, indices[index]!);
      for (const [view, partner] of [undefined, ...partnersOf(index)].entries()) {
        const target = partner === undefined ? own : views.target(index, view, own, targetOf(samples, partner));
        made.set(index * perImage + view, target, id, groupOf[index]!, features.subarray(view * length, (view + 1) * length));
      }
      rows.tensors = tensors;
      rows.byImage.set(indices[index]!, features.slice(0, length));
    });
    return made ?? create(context, rows.tensors, samples, key, settings);
  } catch (error) {
    made?.free();
    throw error;
  } finally {
    views.free();
  }
}

function create(
  { instance: { wasm } }: FeaturizeContext, tensors: FeatureTensor[], { indices, labels }: SampleRef, trunkKey: string, { dtype, views }: FeaturizeSettings,
): WasmFeatures {
  return wasm.WasmFeatures.create(tensors, { count: indices.length, labels, trunkKey, dtype, views: views + 1 });
}

/** Features of an image, wherever they were made. */
type Made = Pick<ImageFeatures, 'features' | 'tensors'>;

/** Gives what the trunk makes of the samples at `positions`, as each is done. */
async function runTrunk(
  context: FeaturizeContext, trunk: Trunk, key: string, samples: SampleRef, positions: readonly number[], perImage: number,
  viewsOf: (position: number) => ViewsRef | undefined, caller: Caller, onDone: (position: number, made: Made) => void,
): Promise<void> {
  if (positions.length === 0) return;
  const { pool, stores, device, gpuTrunk } = context;
  const { model, at } = trunk;
  const source = trunkSource(context.instance, trunk);
  const gpu = await gpuTrunk.choose(trunk, key);
  context.reserve(positions.length * perImage * rowBytes(model, at) + (gpu ? 0 : source.weightBytes(pool.size)));

  const meter = new Meter('featurize', caller.progress);
  // One image that fails ends the work on the others.
  const work = new AbortController();
  const onAbort = (): void => work.abort(caller.signal.reason);
  if (caller.signal.aborted) onAbort();
  caller.signal.addEventListener('abort', onAbort);
  const open = new Set(positions);
  const finish = (position: number, made: Made): void => {
    if (work.signal.aborted || !open.delete(position)) return;
    onDone(position, made);
    meter.report(positions.length - open.size, positions.length);
  };
  const onGpu = async (on: WasmDevice): Promise<void> => {
    const rest = [...open];
    const { preprocessing } = infoOf(model);
    const prepare = (index: number): Promise<Float32Array> => {
      const image = stores.image(samples, samples.indices[rest[index]!]!);
      return pool.preprocess(preprocessing, image, viewsOf(rest[index]!), work.signal).catch(naming(image.id));
    };
    const images = { count: rest.length, views: perImage, prepare };
    await gpuTrunk.featurize(on, trunk, key, images, work.signal, (index, made) => finish(rest[index]!, made));
  };
  const inPool = async (): Promise<void> => {
    await Promise.all([...open].map(async (position) => {
      const image = stores.image(samples, samples.indices[position]!);
      const made = await pool.featurize({ key, source: () => source.get() }, image, viewsOf(position), work.signal).catch(naming(image.id));
      finish(position, made);
    }));
  };
  try {
    await device.run(gpu, onGpu, inPool);
  } finally {
    work.abort(new RegraftError('aborted', 'another image failed'));
    source.free();
    caller.signal.removeEventListener('abort', onAbort);
  }
}

/** Bytes of all boundary tensors of one image. */
function rowBytes(model: WasmModel, at: Cut): number {
  const boundary = new Set(model.boundary(at));
  const sizes = infoOf(model).vertices.filter(({ name }) => boundary.has(name)).map(({ outputShape }) => (
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
