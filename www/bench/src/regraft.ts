// Our engine: the wasm module on this thread for what one thread does, the package for the rest.
import { createEngine, type SimdBuild, type Tensor } from 'regraft';
import { say } from './report.js';
import { tileRows } from '../../src/tiles.js';
import type { StepTime, WasmBatchTrunk, WasmDevice, WasmFeatures, WasmModel, WasmModule, WasmTrainer } from '../../src/wasm-module.js';

export type { StepTime };

/** Where the server has the built package. */
const PACKAGE = './package/';

/** The module in this thread, set up as the package does it. */
export async function loadRegraft(build: SimdBuild): Promise<WasmModule> {
  const glue = await import(/* @vite-ignore */ new URL(`${PACKAGE}wasm/${build}/regraft.js`, document.baseURI).href) as
    WasmModule & { default(): Promise<unknown> };
  await glue.default();
  glue.limitTileRows(tileRows());
  return glue;
}

/** A model whose only input is `x`, a batch in its source's layout. */
export class RegraftForward {
  private readonly input: string;
  private readonly output: string;

  constructor(private readonly model: WasmModel) {
    const { inputs, outputs } = model.info();
    this.input = inputs[0]?.name ?? '';
    this.output = outputs[0]?.name ?? '';
  }

  run(x: Tensor): Float32Array {
    return this.model.run({ [this.input]: x }, undefined)[this.output]?.data as Float32Array;
  }

  profile(x: Tensor, rounds: number): StepTime[] {
    return quartiles(rounds, () => this.model.profile({ [this.input]: x }, () => performance.now()));
  }
}

/** The page's GPU, as the package opens it; with `lanes`, as one of that many, with the tiles that are usual. */
export async function openGpu(module: WasmModule, lanes?: number): Promise<WasmDevice> {
  const device = await module.WasmDevice.webgpu(lanes);
  if (lanes === undefined) say(`fastest here: ${(await device.timeTiles(() => performance.now())).join(', ')}`);
  return device;
}

/** A model's first output on a device, for one image that needs no preprocessing. */
export class RegraftGpuForward {
  private readonly trunk: WasmBatchTrunk;

  constructor(module: WasmModule, device: WasmDevice, model: WasmModel) {
    const { outputs } = model.info();
    this.trunk = module.WasmBatchTrunk.create(device, model, [outputs[0]?.name ?? ''], 1);
  }

  run(nhwc: Float32Array): Promise<Float32Array> {
    return this.trunk.run(nhwc);
  }

  profile(rounds: number): Promise<StepTime[]> {
    return quartilesOf(rounds, () => this.trunk.profile(() => performance.now()));
  }
}

/** Invocations that a GPU of usual size has at work at a time: the engine's own assumption. */
export const USUAL_LANES = 16_384;

/** Milliseconds that timing step by step takes, three rounds at least. */
const PROFILE_TIME = 5000;

/** Steps with the lower quartile of their times: what else the machine does only adds to them, and the clock is too coarse for a minimum. */
function quartiles(rounds: number, run: () => StepTime[]): StepTime[] {
  const all: StepTime[][] = [];
  const begin = performance.now();
  while (all.length < rounds && (all.length < 3 || performance.now() - begin < PROFILE_TIME)) all.push(run());
  return quartile(all);
}

async function quartilesOf(rounds: number, run: () => Promise<StepTime[]>): Promise<StepTime[]> {
  const all: StepTime[][] = [];
  const begin = performance.now();
  while (all.length < rounds && (all.length < Math.min(3, rounds) || performance.now() - begin < PROFILE_TIME)) all.push(await run());
  return quartile(all);
}

function quartile(all: readonly StepTime[][]): StepTime[] {
  return (all[0] ?? []).map((step, at) => {
    const times = all.map((steps) => steps[at]?.time ?? NaN).sort((a, b) => a - b);
    return { ...step, time: times[Math.floor(times.length / 4)] ?? NaN };
  });
}

export interface Rows { count: number; batchSize: number; learningRate: number; labels: readonly string[] }

/** Training through the package, as a user starts it: in its worker, on all the cores it takes. Gives milliseconds of a step. */
export async function openPackage(model: Uint8Array, rows: Uint8Array, { batchSize, learningRate }: Rows): Promise<{ threads: number; fit(epochs: number): Promise<readonly number[]> }> {
  const engine = await createEngine();
  const helper = (await engine.load(model)).transferLearningHelper();
  const features = await engine.loadFeatures(rows);
  return {
    threads: engine.device.threads,
    fit: async (epochs) => {
      const { iterations } = await helper.fitFeaturized(features, { epochs, batchSize, shuffle: false, updater: { type: 'adam', learningRate } });
      return iterations.map(({ loss }) => loss);
    },
  };
}

/** Training of a model's unfrozen part on rows of features. */
export class RegraftTrainer {
  private readonly trainer: WasmTrainer;
  private readonly features: WasmFeatures;

  constructor(
    module: WasmModule, private readonly model: WasmModel, rows: Float32Array, targets: Float32Array,
    { count, batchSize, learningRate, labels }: Rows,
    device: WasmDevice = module.WasmDevice.cpu(),
  ) {
    const shapes = model.info().vertices;
    const tensors = model.boundary(undefined).map((name) => {
      const outputShape = shapes.find((vertex) => vertex.name === name)?.outputShape ?? [];
      return { name, shape: outputShape.slice(1).map(Number) };
    });
    this.features = module.WasmFeatures.create(tensors, { count, labels, trunkKey: model.trunkKey(undefined), dtype: 'f32', views: 1 });
    const [width, classes] = [rows.length / count, labels.length];
    for (let row = 0; row < count; row++) {
      this.features.set(row, targets.subarray(row * classes, (row + 1) * classes), `row ${row}`, -1, rows.subarray(row * width, (row + 1) * width));
    }
    this.trainer = module.WasmTrainer.create(device, model, undefined, this.features, undefined, {
      epochs: 1_000_000, batchSize, shuffle: false, updater: { type: 'adam', learningRate },
    }, undefined);
  }

  /** The rows, as the package reads them. */
  save(): Uint8Array {
    return this.features.save();
  }

  /** Updates to the end of the epoch. */
  async epoch(): Promise<void> {
    await this.trainer.run(Infinity);
  }

  /** One update; the mean loss of the epoch so far. On a GPU it is that of some updates before. */
  async step(): Promise<number> {
    return (await this.trainer.run(0)).loss;
  }

  profile(rounds: number): Promise<StepTime[]> {
    return quartilesOf(rounds, () => this.trainer.profile(() => performance.now()));
  }

  /** Losses of all updates. Ends the training. */
  losses(): number[] {
    return this.trainer.finish(this.model, 'aborted').iterations.map(({ loss }) => loss);
  }
}
