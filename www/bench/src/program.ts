/** A network as flat steps over NHWC values; `program.mjs` writes it. */
export interface Program {
  readonly input: string;
  /** [h, w, c] or [n]. */
  readonly inputShape: readonly number[];
  readonly output: string;
  readonly outputShape: readonly number[];
  readonly steps: readonly Step[];
  /** Place of each weight in weights.bin, in floats. Filters are HWIO. */
  readonly tensors: Readonly<Record<string, { offset: number; shape: readonly number[] }>>;
}

export type Activation = 'none' | 'relu' | 'relu6';
type Pair = readonly [number, number];
/** top, left, bottom, right */
export type Padding = readonly [number, number, number, number];

export type Step =
  | { op: 'conv' | 'depthwise'; x: string; y: string; w: string; b?: string; stride: Pair; pad: Padding; act: Activation }
  | { op: 'batchNorm'; x: string; y: string; gamma: string; beta: string; mean: string; variance: string; epsilon: number }
  | { op: 'activation'; x: string; y: string; act: Activation }
  | { op: 'add'; x: string; other: string; y: string; act: Activation }
  | { op: 'concat'; xs: readonly string[]; y: string }
  | { op: 'maxPool'; x: string; y: string; kernel: Pair; stride: Pair; pad: Padding }
  | { op: 'globalAvgPool' | 'flatten'; x: string; y: string }
  | { op: 'dense'; x: string; y: string; w: string; b?: string; act: Activation };

/** A network of the bench: a program and its weights. */
export interface Net { readonly program: Program; readonly weights: Float32Array }

export async function loadNet(folder: string): Promise<Net> {
  const [program, weights] = await Promise.all([fetch(`${folder}/program.json`), fetch(`${folder}/weights.bin`)]);
  return { program: await program.json() as Program, weights: new Float32Array(await weights.arrayBuffer()) };
}

export function weight({ program, weights }: Net, name: string): { shape: readonly number[]; data: Float32Array } {
  const tensor = program.tensors[name];
  if (!tensor) throw new Error(`no weight ${name}`);
  return { shape: tensor.shape, data: weights.subarray(tensor.offset, tensor.offset + product(tensor.shape)) };
}

/** Names a step reads values, not weights, under. */
export function reads(step: Step): readonly string[] {
  switch (step.op) {
    case 'add': return [step.x, step.other];
    case 'concat': return step.xs;
    default: return [step.x];
  }
}

/** The steps, each with the values that nobody reads after it. */
export function withReleases({ steps, output }: Program): readonly { step: Step; release: readonly string[] }[] {
  const last = new Map<string, number>();
  steps.forEach((step, at) => reads(step).forEach((name) => last.set(name, at)));
  last.delete(output);
  return steps.map((step, at) => ({ step, release: [...new Set(reads(step))].filter((name) => last.get(name) === at) }));
}

/** Names of what is trained: all but the statistics of batch norms. */
export function trainable({ program }: Net): string[] {
  const fixed = new Set(program.steps.flatMap((step) => (step.op === 'batchNorm' ? [step.mean, step.variance] : [])));
  return Object.keys(program.tensors).filter((name) => !fixed.has(name));
}

export const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);
