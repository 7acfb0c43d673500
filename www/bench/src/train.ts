// One training step on rows of features that are at hand, loss read back.
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
import { assertAgreement, interleave, largestDifference, noise, toNchw, turnOf, type Budget, type Contestant } from './measure.js';
import { JaxTrainer, jaxArray, useJax } from './jax.js';
import { measurePeak } from './peak.js';
import { loadNet, product } from './program.js';
import type { WasmDevice } from '../../src/wasm-module.js';
import { RegraftTrainer, USUAL_LANES, loadRegraft, openGpu, openPackage, type StepTime } from './regraft.js';
import { say, type Row } from './report.js';
import { TfjsTrainer, tf, useTfjs, type Backend } from './tfjs.js';
import { versions } from './versions.js';

export type Opponent = Backend | 'jax' | 'jax-webgpu' | 'ort';
export interface Training { net: 'head' | 'blocks'; batch: number; threads: number; opponents: readonly Opponent[]; ours: 'cpu' | 'webgpu' }

/** Batches of an epoch; everyone goes through them in the same order. */
const BATCHES = 8;
/** Epochs of a turn through the package. */
const PACKAGE_EPOCHS = 4;
/** Updates whose losses are compared. */
const COMPARED = 5;
/** Milliseconds of a first step, and of one that is none, after which an opponent is left out of the rounds. */
const LONGEST_FIRST = 150_000;
const LONGEST_STEP = 60_000;
const LEARNING_RATE = 1e-4;

/** Sums in another order, and five updates with what the order did to the ones before. */
const LOSS_TOLERANCE = 1e-3;
/** Batches of an epoch of ours on the GPU, by network: what the end of one costs is a part of the step. */
const GPU_BATCHES = { head: 64, blocks: BATCHES } as const;

interface Trainee { name: string; version: string; threads: number; step(batch: number): number | Promise<number>; epoch?: { steps: number; run(): Promise<void> };
  /** Where those of the steps come later. */
  losses?(): Promise<number[]> }

export async function trainingRow({ net, batch, threads, opponents, ours }: Training, budget: Budget): Promise<Row> {
  const folder = `./nets/${net}`;
  const [network, regraft] = await Promise.all([loadNet(folder), fetch(`${folder}/model.regraft`).then((r) => r.arrayBuffer())]);
  const { inputShape, outputShape } = network.program;
  const [width, classes, count] = [product(inputShape), product(outputShape), batch * BATCHES];
  // Features behind a ReLU6 or a sum: what is below 0 is of little use, so all of them are positive.
  const rows = noise(count * width).map((value) => Math.abs(value));
  const targets = new Float32Array(count * classes);
  for (let row = 0; row < count; row++) targets[row * classes + (row * 7) % classes] = 1;
  const isImage = inputShape.length === 3;
  const nchw = isImage ? toNchw(rows, inputShape) : rows;
  const part = (values: Float32Array, at: number): Float32Array => values.subarray(at * values.length / BATCHES, (at + 1) * values.length / BATCHES);
  const absent: { name: string; reason: string }[] = [];
  const contestants: Contestant[] = [];
  const notes = [`difference: of the losses of the first updates, ${COMPARED} or two`];
  let reference: readonly number[] | undefined;
  let trainer: RegraftTrainer | undefined;
  let plan: (() => Promise<StepTime[]>) | undefined;

  const join = async (name: string, open: () => Promise<Trainee>): Promise<void> => {
    say(`${net}: ${name}`);
    let losses: number[] | undefined;
    try {
      const begin = performance.now();
      const trainee = await open();
      losses = [await trainee.step(0)];
      const first = performance.now() - begin;
      if (trainee.losses) losses = (await trainee.losses()).slice(0, COMPARED);
      const known = losses;
      reference ??= losses;
      // The first step compiles; one that is slow without that is not worth the time of the others.
      const differs = (): string => `the losses differ by ${largestDifference(known, (reference ?? []).slice(0, known.length)).toExponential(1)}`;
      if (first > LONGEST_FIRST) throw new Error(`its first step took ${(first / 1000).toFixed(1)} s; ${differs()}`);
      const again = performance.now();
      const loss = await trainee.step(1);
      if (losses.length === 1) losses.push(loss);
      const second = performance.now() - again;
      if (second > LONGEST_STEP) throw new Error(`a step takes ${(second / 1000).toFixed(1)} s; ${differs()}`);
      for (let at = losses.length; at < COMPARED && (second < 1000 || reference === losses); at++) losses.push(await trainee.step(at));
      notes.push(`${name}: losses ${losses.map((loss) => loss.toFixed(5)).join(', ')}`);
      let at = losses.length;
      const { epoch } = trainee;
      const steps = epoch?.steps ?? 1;
      const unit = async (): Promise<void> => void await (epoch ? epoch.run() : trainee.step(at++ % BATCHES));
      // An epoch on a GPU is longer than any turn; and one of its steps tells nothing of its speed.
      const { units, turn } = ours === 'cpu' || !epoch ? await turnOf(unit, second) : { units: 1, turn: unit };
      contestants.push({
        name, version: trainee.version, threads: trainee.threads, first, units: units * steps, turn,
        difference: largestDifference(losses, reference.slice(0, losses.length)),
      });
    } catch (error) {
      absent.push({ name, reason: String(error) });
    }
    if (losses && reference) assertAgreement(name, losses, reference.slice(0, losses.length), LOSS_TOLERANCE);
  };

  /** What a user calls; planning the step, and the way to the worker, are part of a turn. */
  const joinPackage = async (): Promise<void> => {
    say(`${net}: regraft package`);
    const begin = performance.now();
    const made = await openPackage(new Uint8Array(regraft), trainer!.save(), { count, batchSize: batch, learningRate: LEARNING_RATE, labels: [] });
    const losses = await made.fit(1);
    const first = performance.now() - begin;
    contestants.push({
      name: `regraft package, ${PACKAGE_EPOCHS} epochs`, version: versions.regraft, threads: made.threads, units: PACKAGE_EPOCHS * BATCHES, first,
      difference: largestDifference(losses.slice(0, COMPARED), reference ?? []), turn: async () => void await made.fit(PACKAGE_EPOCHS),
    });
  };

  const labels = Array.from({ length: classes }, (_, at) => ['birds', 'flowers', 'fruit', 'mammals', 'vegetables'][at] ?? String(at));
  if (ours === 'cpu') {
    for (const build of ['relaxed-simd', 'simd128'] as const) {
      const module = await loadRegraft(build);
      await join(`regraft ${build}`, async () => {
        const model = module.WasmModel.load(new Map([['model', new Uint8Array(regraft)]]), {});
        const made = new RegraftTrainer(module, model, nchw, targets, { count, batchSize: batch, learningRate: LEARNING_RATE, labels });
        trainer ??= made;
        // The module tells the mean of the epoch so far.
        let sum = 0;
        const step = async (at: number): Promise<number> => {
          const before = sum;
          sum = await made.step() * (at + 1);
          return sum - before;
        };
        return { name: build, version: versions.regraft, threads: 1, step, epoch: { steps: BATCHES, run: () => made.epoch() } };
      });
    }
  }
  if (ours === 'webgpu') {
    await join('regraft webgpu', async () => {
      const module = await loadRegraft('relaxed-simd');
      const device = await openGpu(module);
      const times = GPU_BATCHES[net] / BATCHES;
      const open = (on: WasmDevice): RegraftTrainer => new RegraftTrainer(
        module, module.WasmModel.load(new Map([['model', new Uint8Array(regraft)]]), {}), repeated(nchw, times), repeated(targets, times),
        { count: count * times, batchSize: batch, learningRate: LEARNING_RATE, labels }, on,
      );
      const made = open(device);
      plan = async () => open(await openGpu(module, USUAL_LANES)).profile(1);
      trainer ??= made;
      const losses = async (): Promise<number[]> => {
        const other = open(device);
        await other.epoch();
        return other.losses();
      };
      return { name: 'webgpu', version: versions.regraft, threads: 0, step: () => made.step(), losses, epoch: { steps: GPU_BATCHES[net], run: () => made.epoch() } };
    });
  }
  if (ours === 'cpu' && threads > 1) await joinPackage();
  for (const opponent of opponents) {
    if (opponent === 'ort') continue; // It does not train.
    if (opponent === 'jax' || opponent === 'jax-webgpu') {
      const device = opponent === 'jax' ? 'wasm' : 'webgpu';
      await join(`jax-js ${device}`, async () => {
        await useJax(device);
        const made = new JaxTrainer(network, LEARNING_RATE);
        const shape = isImage ? [batch, inputShape[2]!, inputShape[0]!, inputShape[1]!] : [batch, width];
        const batches = Array.from({ length: BATCHES }, (_, at) => ({ x: jaxArray(part(nchw, at), shape), y: jaxArray(part(targets, at), [batch, classes]) }));
        return { name: opponent, version: versions.jax, threads: device === 'wasm' ? navigator.hardwareConcurrency : 1, step: (at) => made.step(batches[at]!.x, batches[at]!.y) };
      });
      continue;
    }
    await join(`tfjs ${opponent}`, async () => {
      await useTfjs(opponent, threads);
      const made = new TfjsTrainer(network, LEARNING_RATE);
      const batches = Array.from({ length: BATCHES }, (_, at) => ({
        x: tf.tensor(part(rows, at), [batch, ...inputShape]), y: tf.tensor(part(targets, at), [batch, classes]),
      }));
      const step = async (at: number): Promise<number> => {
        // The current backend is a setting of the page.
        if (tf.getBackend() !== opponent) await tf.setBackend(opponent);
        return made.step(batches[at]!.x, batches[at]!.y);
      };
      return { name: opponent, version: versions.tfjs, threads: opponent === 'wasm' ? threads : 1, step };
    });
  }

  if (ours === 'cpu') await measurePeak();
  const timings = await interleave(contestants, budget, ours === 'webgpu');
  const profile = await trainer?.profile(15);
  const planned = await plan?.();
  return {
    title: TITLES[net], unit: 'step', timings, absent, ...profile && { profile }, ...planned && { planned }, peak: ours === 'cpu' ? await measurePeak() : [],
    notes,
  };
}

function repeated(values: Float32Array, times: number): Float32Array {
  const all = new Float32Array(values.length * times);
  for (let at = 0; at < times; at++) all.set(values, at * values.length);
  return all;
}

const TITLES = {
  head: 'head step 1280 → 100 → 5, batch 32, Adam',
  blocks: 'step with the last two blocks of MobileNetV2 unfrozen, batch 16, Adam',
} as const;
