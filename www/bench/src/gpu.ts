// MobileNetV2 on WebGPU: forward of one image.
import { assertAgreement, interleave, largestDifference, noise, spread, toNchw, type Budget, type Contestant } from './measure.js';
import { JaxForward, jaxArray, useJax } from './jax.js';
import { loadOrt, openSession, runSession } from './ort.js';
import { loadNet, product } from './program.js';
import { RegraftGpuForward, USUAL_LANES, loadRegraft, openGpu, type StepTime } from './regraft.js';
import { say, type Row } from './report.js';
import { forward, tf, useTfjs, weightsOf } from './tfjs.js';
import type { Opponent } from './train.js';
import { versions } from './versions.js';

/** Fifty layers, each summed in another order: of the largest logit. */
const LOGIT_TOLERANCE = 1e-3;
const PROFILE_ROUNDS = 5;
/** Runs whose work on the host is timed. */
const HOST_ROUNDS = 15;

interface Opened { version: string; run(): Promise<Float32Array> }

export async function gpuForwardRow(opponents: readonly Opponent[], budget: Budget): Promise<Row> {
  const folder = './nets/mobilenet_v2';
  const [net, model] = await Promise.all([loadNet(folder), fetch(`${folder}/model.onnx`).then((response) => response.arrayBuffer())]);
  const shape = net.program.inputShape;
  const [h = 1, w = 1, c = 1] = shape;
  const nhwc = noise(product(shape));
  const nchw = toNchw(nhwc, shape);
  const absent: { name: string; reason: string }[] = [];
  const contestants: Contestant[] = [];
  let reference: Float32Array | undefined;
  let ours: RegraftGpuForward | undefined;
  let plan: (() => Promise<StepTime[]>) | undefined;
  let host: (() => Promise<number>) | undefined;
  const join = async (name: string, open: () => Promise<Opened>): Promise<void> => {
    say(`webgpu: ${name}`);
    let result: Float32Array;
    try {
      const begin = performance.now();
      const { version, run } = await open();
      result = Float32Array.from(await run());
      const first = performance.now() - begin;
      contestants.push({ name, version, threads: 0, units: 1, first, difference: largestDifference(result, reference ?? result), turn: async () => void await run() });
    } catch (error) {
      absent.push({ name, reason: String(error) });
      return;
    }
    reference ??= result;
    assertAgreement(name, result, reference, LOGIT_TOLERANCE);
  };

  await join('regraft webgpu', async () => {
    const module = await loadRegraft('relaxed-simd');
    const open = async (lanes?: number): Promise<RegraftGpuForward> => (
      new RegraftGpuForward(module, await openGpu(module, lanes), module.WasmModel.load(new Map([['model.onnx', new Uint8Array(model)]]), {})));
    const made = await open();
    ours = made;
    plan = async () => (await open(USUAL_LANES)).profile(1);
    host = async () => {
      const times: number[] = [];
      for (let at = 0; at < HOST_ROUNDS; at++) {
        const begin = performance.now();
        const coming = made.run(nhwc);
        times.push(performance.now() - begin);
        await coming;
      }
      return spread(times).median;
    };
    return { version: versions.regraft, run: () => made.run(nhwc) };
  });
  if (opponents.includes('webgpu')) await join('tfjs webgpu', async () => {
    await useTfjs('webgpu');
    const [weights, x] = [weightsOf(net), tf.tensor(nhwc, [1, h, w, c])];
    return {
      version: versions.tfjs,
      run: async () => {
        const y = forward(net, weights, x);
        const values = await y.data() as Float32Array;
        y.dispose();
        return values;
      },
    };
  });
  if (opponents.includes('jax-webgpu')) await join('jax-js webgpu', async () => {
    await useJax('webgpu');
    const [jitted, x] = [new JaxForward(net), jaxArray(nchw, [1, c, h, w])];
    return { version: versions.jax, run: () => jitted.forward(x) };
  });
  if (opponents.includes('ort')) await join('onnxruntime-web webgpu', async () => {
    const ort = await loadOrt('webgpu', 1);
    const session = await openSession(ort, new Uint8Array(model), 'webgpu');
    return { version: versions.ort, run: () => runSession(ort, session, nchw, [1, c, h, w]) };
  });
  const timings = await interleave(contestants, budget, true);
  const busy = await host?.();
  const profile = await ours?.profile(PROFILE_ROUNDS);
  const planned = await plan?.();
  return {
    title: `mobilenet_v2, one image, WebGPU (${await adapter()})`, unit: 'image', timings, absent, ...profile && { profile }, ...planned && { planned },
    notes: busy === undefined ? [] : [`of ours, writing the image, encoding and submitting keep the host for ${busy.toFixed(2)} ms, wasm-to-JavaScript calls included`],
  };
}

async function adapter(): Promise<string> {
  const found = await navigator.gpu?.requestAdapter();
  return found ? [found.info.vendor, found.info.architecture].filter(Boolean).join(' ') : 'no adapter';
}
