// One image on one thread, with the tensor at hand.
import type { Tensor } from 'regraft';
import { interleave, largestDifference, noise, toNchw, turnOf, type Budget, type Contestant } from './measure.js';
import { loadOrt, openSession, runSession } from './ort.js';
import { measurePeak } from './peak.js';
import { loadNet } from './program.js';
import { RegraftForward, loadRegraft } from './regraft.js';
import { say, type Row } from './report.js';
import { forward, tf, useTfjs, weightsOf } from './tfjs.js';
import { versions } from './versions.js';

const PROFILE_ROUNDS = 25;

type Opened = Contestant & { close?(): void };
type Absent = { name: string; reason: string };

export async function forwardRow(net: string, budget: Budget): Promise<Row> {
  const folder = `./nets/${net}`;
  const [{ program, weights }, model] = await Promise.all([loadNet(folder), bytesOf(`${folder}/model.onnx`)]);
  const nhwc = noise(program.inputShape.reduce((all, size) => all * size, 1));
  const nchw = toNchw(nhwc, program.inputShape);
  const [h = 1, w = 1, c = 1] = program.inputShape;
  const x: Tensor = { dtype: 'f32', shape: [1, c, h, w], data: nchw };
  const absent: Absent[] = [];
  const contestants: Opened[] = [];
  let reference: Float32Array | undefined;
  let ours: RegraftForward | undefined;

  const join = async (name: string, open: () => Promise<Omit<Opened, 'name' | 'first' | 'difference' | 'units' | 'turn'> & { run(): Float32Array | Promise<Float32Array> }>): Promise<void> => {
    say(`${net}: ${name}`);
    try {
      const begin = performance.now();
      const { run, ...rest } = await open();
      const result = Float32Array.from(await run());
      const first = performance.now() - begin;
      reference ??= result;
      contestants.push({ ...rest, name, first, difference: largestDifference(result, reference), ...await turnOf(run) });
    } catch (error) {
      absent.push({ name, reason: String(error) });
    }
  };

  const modules = { 'relaxed-simd': await loadRegraft('relaxed-simd'), simd128: await loadRegraft('simd128') };
  for (const build of ['relaxed-simd', 'simd128'] as const) {
    await join(`regraft ${build}`, async () => {
      const opened = new RegraftForward(modules[build].WasmModel.load(new Map([['model.onnx', model]]), {}));
      ours ??= opened;
      return { version: versions.regraft, threads: 1, run: () => opened.run(x) };
    });
  }
  await useTfjs('wasm', 1);
  await join('tfjs wasm simd', async () => {
    const [weightTensors, image] = [weightsOf({ program, weights }), tf.tensor(nhwc, [1, h, w, c])];
    return {
      version: versions.tfjs, threads: 1,
      run: () => {
        const y = forward({ program, weights }, weightTensors, image);
        const values = y.dataSync() as Float32Array;
        y.dispose();
        return values;
      },
    };
  });
  const ort = await loadOrt('wasm', 1);
  await join('onnxruntime-web wasm', async () => {
    const session = await openSession(ort, model, 'wasm');
    return { version: versions.ort, threads: 1, run: () => runSession(ort, session, nchw, [1, c, h, w]) };
  });

  await measurePeak();
  const timings = await interleave(contestants, budget);
  say(`${net}: step by step`);
  const profile = ours?.profile(x, PROFILE_ROUNDS);
  return { title: `${net}, one image, one thread`, unit: 'image', timings, absent, ...profile && { profile }, peak: await measurePeak() };
}

async function bytesOf(url: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetch(url)).arrayBuffer());
}
