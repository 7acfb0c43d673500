// jax-js: NCHW, the whole step under jit.
import { blockUntilReady, defaultDevice, init, jit, lax, nn, numpy as np, valueAndGrad } from '@jax-js/jax';
import { reads, trainable, weight, type Activation, type Net, type Step } from './program.js';

type Array = np.Array;
type Values = Record<string, Array>;

export async function useJax(device: 'wasm' | 'webgpu'): Promise<void> {
  if (!(await init(device)).includes(device)) throw new Error(`jax-js has no ${device} here`);
  defaultDevice(device);
}

export const jaxArray = (data: Float32Array, shape: readonly number[]): Array => np.array(Float32Array.from(data), { shape: [...shape] });

/** HWIO as OIHW. */
function oihw(data: Float32Array, [kh = 1, kw = 1, i = 1, o = 1]: readonly number[]): { data: Float32Array; shape: number[] } {
  const [pixels, all] = [kh * kw, new Float32Array(data.length)];
  for (let p = 0; p < pixels; p++) for (let c = 0; c < i; c++) for (let m = 0; m < o; m++) all[(m * i + c) * pixels + p] = data[(p * i + c) * o + m]!;
  return { data: all, shape: [o, i, kh, kw] };
}

function weightsOf(net: Net): Values {
  const depthwise = new Set(net.program.steps.flatMap((step) => (step.op === 'depthwise' ? [step.w] : [])));
  return Object.fromEntries(Object.keys(net.program.tensors).map((name) => {
    const { shape, data } = weight(net, name);
    const [kh = 1, kw = 1, c = 1] = shape;
    // One filter a channel: [kh, kw, c, 1] is HWIO with one input and c outputs.
    const filter = shape.length !== 4 ? { data, shape } : oihw(data, depthwise.has(name) ? [kh, kw, 1, c] : shape);
    return [name, jaxArray(filter.data, filter.shape)];
  }));
}

function activate(x: Array, act: Activation): Array {
  switch (act) {
    case 'none': return x;
    case 'relu': return nn.relu(x);
    case 'relu6': return nn.relu6(x);
    default: return act satisfies never;
  }
}

/** A weight of a channel beside [n, c, h, w] or [n, c]. */
const perChannel = (w: Array, rank: number): Array => (rank === 4 ? w.reshape([1, -1, 1, 1]) : w);

function evaluate(step: Step, x: (name: string) => Array, w: Values): Array {
  const stored = (name: string): Array => {
    const found = w[name];
    if (!found) throw new Error(`no weight ${name}`);
    return found;
  };
  switch (step.op) {
    case 'conv': case 'depthwise': {
      const [image, filter] = [x(step.x), stored(step.w)];
      const [top, left, bottom, right] = step.pad;
      const featureGroupCount = step.op === 'depthwise' ? filter.shape[0]! : 1;
      const y = lax.convGeneralDilated(image, filter, [...step.stride], [[top, bottom], [left, right]], { featureGroupCount });
      return activate(step.b === undefined ? y : y.add(perChannel(stored(step.b), 4)), step.act);
    }
    case 'batchNorm': {
      const input = x(step.x);
      const rank = input.shape.length;
      const scale = stored(step.gamma).div(np.sqrt(stored(step.variance).add(step.epsilon)));
      return input.sub(perChannel(stored(step.mean), rank)).mul(perChannel(scale, rank)).add(perChannel(stored(step.beta), rank));
    }
    case 'activation': return activate(x(step.x), step.act);
    case 'add': return activate(x(step.x).add(x(step.other)), step.act);
    case 'globalAvgPool': return np.mean(x(step.x), [2, 3], { keepdims: true });
    case 'flatten': {
      const input = x(step.x);
      return input.reshape([input.shape[0]!, -1]);
    }
    case 'dense': {
      const y = np.matmul(x(step.x), stored(step.w));
      return activate(step.b === undefined ? y : y.add(stored(step.b)), step.act);
    }
    case 'concat': case 'maxPool': throw new Error(`${step.op} is not written for jax-js`);
    default: return step satisfies never;
  }
}

/** Logits. Every weight is read once; a value that is read again is referenced. */
function network({ program }: Net, weights: Values, x: Array): Array {
  const left = new Map<string, number>();
  for (const step of program.steps) for (const name of reads(step)) left.set(name, (left.get(name) ?? 0) + 1);
  const values = new Map([[program.input, x]]);
  const take = (name: string): Array => {
    const [value, count] = [values.get(name), left.get(name) ?? 1];
    if (!value) throw new Error(`no value ${name}`);
    left.set(name, count - 1);
    return count > 1 ? value.ref : value;
  };
  for (const step of program.steps) values.set(step.y, evaluate(step, take, weights));
  return take(program.output);
}

/** A compiled forward pass. */
export class JaxForward {
  private readonly weights: Values;
  private readonly run: (weights: Values, x: Array) => Array;

  constructor(net: Net) {
    this.weights = weightsOf(net);
    this.run = jit((weights: Values, x: Array) => network(net, weights, x)) as unknown as (weights: Values, x: Array) => Array;
  }

  async forward(x: Array): Promise<Float32Array> {
    return await this.run(referenced(this.weights), x.ref).data() as Float32Array;
  }
}

const referenced = (values: Values): Values => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.ref]));

interface State { learned: Values; m: Values; v: Values }
type Step1 = (state: State, fixed: Values, x: Array, targets: Array, scalars: Array) => [Array, State];

/** Training with Adam on rows of features; one compiled function a step. */
export class JaxTrainer {
  private state: State;
  private readonly fixed: Values;
  private readonly run: Step1;
  private iteration = 0;

  constructor(net: Net, private readonly learningRate: number) {
    const all = weightsOf(net);
    const learns = new Set(trainable(net));
    const learned = Object.fromEntries(Object.entries(all).filter(([name]) => learns.has(name)));
    this.fixed = Object.fromEntries(Object.entries(all).filter(([name]) => !learns.has(name)));
    const zeros = (): Values => Object.fromEntries(Object.entries(learned).map(([name, value]) => [name, np.zeros(value.shape)]));
    this.state = { learned, m: zeros(), v: zeros() };
    const loss = (parameters: Values, fixed: Values, x: Array, targets: Array): Array => {
      const logits = network(net, { ...parameters, ...fixed }, x);
      return nn.logSoftmax(logits).mul(targets).sum().mul(-1 / batchOf(targets));
    };
    const step = ({ learned: parameters, m, v }: State, fixed: Values, x: Array, targets: Array, scalars: Array): [Array, State] => {
      const [value, gradients] = valueAndGrad(loss)(referenced(parameters), fixed, x, targets) as unknown as [Array, Values];
      const next: State = { learned: {}, m: {}, v: {} };
      const rate = scalars.ref.slice(0);
      const correction = scalars.slice(1);
      for (const name of Object.keys(parameters)) {
        const g = gradients[name]!;
        const first = m[name]!.mul(0.9).add(g.ref.mul(0.1));
        const second = v[name]!.mul(0.999).add(np.square(g).mul(0.001));
        const update = first.ref.mul(rate.ref).div(np.sqrt(second.ref.mul(correction.ref)).add(1e-8));
        next.learned[name] = parameters[name]!.sub(update);
        next.m[name] = first;
        next.v[name] = second;
      }
      rate.dispose();
      correction.dispose();
      return [value, next];
    };
    this.run = jit(step as never) as unknown as Step1;
  }

  /** One update; the loss is read back. */
  async step(x: Array, targets: Array): Promise<number> {
    this.iteration++;
    // Rate with the first moment's correction, and the second moment's.
    const [first, second] = [1 - 0.9 ** this.iteration, 1 - 0.999 ** this.iteration];
    const scalars = np.array([this.learningRate / first, 1 / second]);
    const [loss, state] = this.run(this.state, referenced(this.fixed), x.ref, targets.ref, scalars);
    this.state = state;
    await blockUntilReady(state);
    return (await loss.data())[0] as number;
  }
}

const batchOf = (targets: Array): number => targets.shape[0] ?? 1;
