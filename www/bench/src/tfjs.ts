// TensorFlow.js, with the fused kernels that its graph models use.
import * as tf from '@tensorflow/tfjs-core';
import { trainable, withReleases, weight, type Activation, type Net, type Padding, type Step } from './program.js';

export { tf };

export type Backend = 'wasm' | 'cpu' | 'webgl' | 'webgpu';

/** Where the server has the packages. */
const PACKAGES = './tfjs/';

/** The wasm build is chosen once in a page. */
let isSet = false;
const scripts = new Map<string, Promise<unknown>>();

function script(path: string): Promise<unknown> {
  const loading = scripts.get(path) ?? new Promise((resolve, reject) => {
    const element = document.createElement('script');
    Object.assign(element, { src: PACKAGES + path, onload: resolve, onerror: () => reject(new Error(`${path} was not loaded`)) });
    document.head.append(element);
  });
  scripts.set(path, loading);
  return loading;
}

interface WasmSettings { setWasmPaths(prefix: string): void; setThreadsCount(count: number): void }

/** Makes a backend the current one. wasm: `threads` 1 takes the build without threads. */
export async function useTfjs(backend: Backend, threads = 1): Promise<void> {
  // Backends are not bundled: the threaded one starts workers from the text of its own functions.
  const shared = globalThis as { tf?: object };
  shared.tf ??= { ...tf };
  // WebGL leaves what is small to the CPU.
  if (backend === 'webgl') await script('tfjs-backend-cpu/dist/tf-backend-cpu.es2017.min.js');
  await script(`tfjs-backend-${backend}/dist/tf-backend-${backend}.es2017.min.js`);
  if (backend === 'wasm' && !isSet) {
    isSet = true;
    const { wasm } = shared.tf as { wasm: WasmSettings };
    wasm.setWasmPaths(new URL(`${PACKAGES}tfjs-backend-wasm/dist/`, document.baseURI).href);
    tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads > 1);
    if (threads > 1) wasm.setThreadsCount(threads);
  }
  if (!await tf.setBackend(backend)) throw new Error(`TensorFlow.js has no ${backend} here`);
  await tf.ready();
}

type PadArgument = 'valid' | [[0, 0], [number, number], [number, number], [0, 0]];
const padding = ([top, left, bottom, right]: Padding): PadArgument => (
  top || left || bottom || right ? [[0, 0], [top, bottom], [left, right], [0, 0]] : 'valid');
const activationName = (act: Activation): 'linear' | 'relu' | 'relu6' => (act === 'none' ? 'linear' : act);

function activate(x: tf.Tensor, act: Activation): tf.Tensor {
  switch (act) {
    case 'none': return x;
    case 'relu': return tf.relu(x);
    case 'relu6': return tf.relu6(x);
    default: return act satisfies never;
  }
}

type Values = ReadonlyMap<string, tf.Tensor>;
const named = (values: Values, name: string): tf.Tensor => {
  const tensor = values.get(name);
  if (!tensor) throw new Error(`no value ${name}`);
  return tensor;
};

function evaluate(step: Step, x: Values, w: Values, fused: boolean): tf.Tensor {
  const input = (name: string): tf.Tensor => named(x, name);
  switch (step.op) {
    case 'conv': case 'depthwise': {
      const [image, filter] = [input(step.x) as tf.Tensor4D, named(w, step.w) as tf.Tensor4D];
      const [strides, pad] = [step.stride as [number, number], padding(step.pad)];
      if (!fused) {
        const y: tf.Tensor = step.op === 'conv' ? tf.conv2d(image, filter, strides, pad as 'valid') : tf.depthwiseConv2d(image, filter, strides, pad as 'valid');
        return activate(step.b === undefined ? y : tf.add(y, named(w, step.b)), step.act);
      }
      const options = { x: image, filter, strides, pad: pad as 'valid', activation: activationName(step.act), ...step.b === undefined ? {} : { bias: named(w, step.b) } };
      return step.op === 'conv' ? tf.fused.conv2d(options) : tf.fused.depthwiseConv2d(options);
    }
    case 'batchNorm': {
      // With stored statistics: what a frozen layer computes; gamma and beta learn.
      const scale = tf.mul(named(w, step.gamma), tf.rsqrt(tf.add(named(w, step.variance), step.epsilon)));
      return tf.add(tf.mul(input(step.x), scale), tf.sub(named(w, step.beta), tf.mul(named(w, step.mean), scale)));
    }
    case 'activation': return activate(input(step.x), step.act);
    case 'add': return activate(tf.add(input(step.x), input(step.other)), step.act);
    case 'concat': return tf.concat(step.xs.map(input), 3);
    case 'maxPool': return tf.maxPool(input(step.x) as tf.Tensor4D, step.kernel as [number, number], step.stride as [number, number], padding(step.pad) as 'valid');
    case 'globalAvgPool': return tf.mean(input(step.x), [1, 2], true);
    case 'flatten': return tf.reshape(input(step.x), [input(step.x).shape[0] ?? 1, -1]);
    case 'dense': {
      const [a, b] = [input(step.x) as tf.Tensor2D, named(w, step.w) as tf.Tensor2D];
      if (!fused) return activate(step.b === undefined ? tf.matMul(a, b) : tf.add(tf.matMul(a, b), named(w, step.b)), step.act);
      return tf.fused.matMul({ a, b, activation: activationName(step.act), ...step.b === undefined ? {} : { bias: named(w, step.b) } });
    }
    default: return step satisfies never;
  }
}

/** Weights on the current backend. */
export function weightsOf(net: Net): Map<string, tf.Tensor> {
  return new Map(Object.keys(net.program.tensors).map((name) => {
    const { shape, data } = weight(net, name);
    return [name, tf.tensor(data, [...shape])];
  }));
}

/** Runs the program; every intermediate value is freed after its last reader. */
export function forward({ program }: Net, weights: Values, x: tf.Tensor): tf.Tensor {
  const values = new Map<string, tf.Tensor>([[program.input, x]]);
  for (const { step, release } of withReleases(program)) {
    values.set(step.y, tf.tidy(() => evaluate(step, values, weights, true)));
    for (const name of release) if (name !== program.input) named(values, name).dispose();
  }
  return named(values, program.output);
}

/** The program without fused kernels and without freeing, to be differentiated. */
export function differentiable({ program }: Net, weights: Values, x: tf.Tensor): tf.Tensor {
  const values = new Map<string, tf.Tensor>([[program.input, x]]);
  for (const step of program.steps) values.set(step.y, evaluate(step, values, weights, false));
  return named(values, program.output);
}

/** Training with Adam on rows of features. */
export class TfjsTrainer {
  private readonly weights: Map<string, tf.Tensor>;
  private readonly variables: tf.Variable[] = [];
  private readonly optimizer: tf.Optimizer;

  constructor(private readonly net: Net, learningRate: number) {
    this.weights = weightsOf(net);
    for (const name of trainable(net)) {
      const variable = tf.variable(named(this.weights, name));
      this.weights.set(name, variable);
      this.variables.push(variable);
    }
    this.optimizer = tf.train.adam(learningRate, 0.9, 0.999, 1e-8);
  }

  /** One update; the loss is read back. */
  async step(x: tf.Tensor, targets: tf.Tensor): Promise<number> {
    const loss = this.optimizer.minimize(() => (
      tf.losses.softmaxCrossEntropy(targets, differentiable(this.net, this.weights, x)) as tf.Scalar), true, this.variables);
    if (!loss) throw new Error('no loss');
    const [value] = await loss.data();
    loss.dispose();
    return value ?? NaN;
  }

  dispose(): void {
    this.optimizer.dispose();
    for (const tensor of this.weights.values()) tensor.dispose();
  }
}
