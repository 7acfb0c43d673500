// MobileNetV2 on WebGPU: forward of one image.
import { interleave, largestDifference, noise, toNchw, type Budget, type Contestant } from './measure.js';
import { JaxForward, jaxArray, useJax } from './jax.js';
import { loadOrt, openSession, runSession } from './ort.js';
import { loadNet, product } from './program.js';
import { say, type Row } from './report.js';
import { forward, tf, useTfjs, weightsOf } from './tfjs.js';
import { versions } from './versions.js';

interface Opened { version: string; run(): Promise<Float32Array> }

export async function gpuForwardRow(budget: Budget): Promise<Row> {
  const folder = './nets/mobilenet_v2';
  const [net, model] = await Promise.all([loadNet(folder), fetch(`${folder}/model.onnx`).then((response) => response.arrayBuffer())]);
  const shape = net.program.inputShape;
  const [h = 1, w = 1, c = 1] = shape;
  const nhwc = noise(product(shape));
  const nchw = toNchw(nhwc, shape);
  const absent: { name: string; reason: string }[] = [];
  const contestants: Contestant[] = [];
  let reference: Float32Array | undefined;
  const join = async (name: string, open: () => Promise<Opened>): Promise<void> => {
    say(`webgpu: ${name}`);
    try {
      const begin = performance.now();
      const { version, run } = await open();
      const result = Float32Array.from(await run());
      const first = performance.now() - begin;
      reference ??= result;
      contestants.push({ name, version, threads: 0, units: 1, first, difference: largestDifference(result, reference), turn: async () => void await run() });
    } catch (error) {
      absent.push({ name, reason: String(error) });
    }
  };

  await join('tfjs webgpu', async () => {
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
  await join('jax-js webgpu', async () => {
    await useJax('webgpu');
    const [jitted, x] = [new JaxForward(net), jaxArray(nchw, [1, c, h, w])];
    return { version: versions.jax, run: () => jitted.forward(x) };
  });
  await join('onnxruntime-web webgpu', async () => {
    const ort = await loadOrt('webgpu', 1);
    const session = await openSession(ort, new Uint8Array(model), 'webgpu');
    return { version: versions.ort, run: () => runSession(ort, session, nchw, [1, c, h, w]) };
  });
  return {
    title: `mobilenet_v2, one image, WebGPU (${await adapter()})`, unit: 'image', timings: await interleave(contestants, budget), absent,
    notes: ['regraft has no WebGPU backend in this build'],
  };
}

async function adapter(): Promise<string> {
  const found = await navigator.gpu?.requestAdapter();
  return found ? [found.info.vendor, found.info.architecture].filter(Boolean).join(' ') : 'no adapter';
}
