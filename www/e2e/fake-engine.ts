/**
 * A pretence of the engine, for work on the page alone: right shapes, made-up numbers, delays like those of a slow laptop.
 * Never part of a build that ships (see vite.config.ts, mode `fake`).
 */
import type {
  Dataset, Engine, Evaluation, ExportResult, FeatureSet, FitOptions, History, Model, Prediction, Progress, Sample, TransferLearningHelper,
} from 'regraft';

type ErrorCode = 'format' | 'bad-image' | 'aborted' | 'internal';

export class RegraftError extends Error {
  constructor(readonly code: ErrorCode, message: string, readonly vertex?: string) {
    super(message);
  }
}

export const version = 'fake';

const IMAGES_PER_SECOND = 25;
const EPOCH_MILLISECONDS = 40;

const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Deterministic numbers in [0, 1). */
function noise(seed: number): number {
  const x = Math.sin(seed * 12.9898) * 43758.5453;
  return x - Math.floor(x);
}

function missing(name: string): never {
  throw new RegraftError('internal', `the fake engine has no ${name}`);
}

interface Item { id: string; label: string }

class FakeDataset implements Dataset {
  readonly counts: Record<string, number> = {};
  constructor(readonly items: readonly Item[], readonly labels: readonly string[], readonly rejected: readonly { id: string; reason: string }[]) {
    for (const { label } of items) this.counts[label] = (this.counts[label] ?? 0) + 1;
  }
  get count(): number {
    return this.items.length;
  }
  split(fraction: number): { train: Dataset; test: Dataset } {
    const every = Math.max(2, Math.round(1 / (1 - fraction)));
    const part = (test: boolean): Dataset => new FakeDataset(this.items.filter((_, i) => (i % every === 1) === test), this.labels, []);
    return { train: part(false), test: part(true) };
  }
  balanced = (): Dataset => this;
  folds = (): never => missing('folds');
}

class FakeFeatures implements FeatureSet {
  readonly tensors = [];
  readonly trunkKey = 'fake';
  constructor(readonly data: FakeDataset) {}
  get count(): number {
    return this.data.count;
  }
  get labels(): readonly string[] {
    return this.data.labels;
  }
  toTensors = (): never => missing('toTensors');
  split(fraction: number): [FeatureSet, FeatureSet] {
    const { train, test } = this.data.split(fraction);
    return [new FakeFeatures(train as FakeDataset), new FakeFeatures(test as FakeDataset)];
  }
  save = (): never => missing('save');
  async dispose(): Promise<void> {}
}

function stopped(signal: AbortSignal | undefined): boolean {
  return signal?.aborted ?? false;
}

const helper: Partial<TransferLearningHelper> = {
  boundary: ['pool'],
  async featurize(data, { signal, onProgress } = {}) {
    for (let done = 0; done <= data.count; done += 1) {
      await wait(1000 / IMAGES_PER_SECOND);
      if (stopped(signal)) throw new RegraftError('aborted', 'stopped');
      onProgress?.({ phase: 'featurize', done, total: data.count, perSecond: IMAGES_PER_SECOND });
    }
    return new FakeFeatures(data as FakeDataset);
  },
  fitFeaturized: (_features, options) => fit(options),
};

async function fit({ epochs = 10, validation, signal, onProgress }: FitOptions = {}): Promise<History> {
  const rows: { epoch: number; loss: number; accuracy: number; learningRate: number; seconds: number; valLoss?: number; valAccuracy?: number }[] = [];
  for (let epoch = 1; epoch <= epochs && !stopped(signal); epoch += 1) {
    await wait(EPOCH_MILLISECONDS);
    const loss = 1.6 * Math.exp(-epoch / 9) + 0.08 + 0.05 * noise(epoch);
    const accuracy = 1 - 0.8 * Math.exp(-epoch / 5);
    const held = validation === undefined ? {} : { valLoss: loss * 1.2 + 0.08, valAccuracy: Math.max(0, accuracy - 0.06 - 0.05 * noise(epoch + 77)) };
    rows.push({ epoch, loss, accuracy, learningRate: 0.001, seconds: 0.04, ...held });
    onProgress?.({ phase: 'train', done: epoch, total: epochs, perSecond: 25, epoch, iteration: epoch * 8, loss, accuracy, ...held });
  }
  return { epochs: rows, iterations: [], stoppedBy: stopped(signal) ? 'aborted' : 'epochs', bestEpoch: rows.length, seconds: { featurize: 0, train: 1 } };
}

function evaluate({ data: { items, labels } }: FakeFeatures): Evaluation {
  const matrix = labels.map(() => labels.map(() => 0));
  const mistakes = items.flatMap(({ id, label }, i) => {
    const actual = labels.indexOf(label);
    const said = noise(i + 3) < 0.85 ? actual : Math.floor(noise(i) * labels.length);
    const row = matrix[actual];
    if (row) row[said] = (row[said] ?? 0) + 1;
    return said === actual ? [] : [{ id, label, predicted: labels[said] ?? '', probability: 0.5 + 0.5 * noise(i + 9) }];
  });
  const accuracy = 1 - mistakes.length / Math.max(1, items.length);
  return {
    count: items.length, accuracy, accuracyInterval95: [Math.max(0, accuracy - 0.12), Math.min(1, accuracy + 0.06)], balancedAccuracy: accuracy, topNAccuracy: 1, loss: 0.3,
    macroF1: accuracy, mcc: accuracy, expectedCalibrationError: 0.05, labels, confusionMatrix: matrix, mistakes,
    perClass: labels.map((label, k) => ({ label, precision: 0.9, recall: 0.8, f1: 0.85, support: matrix[k]?.reduce((a, b) => a + b, 0) ?? 0, rocAuc: 0.97 })),
    toString: () => 'fake evaluation',
  };
}

function fakeModel(labels: readonly string[] | undefined): Model {
  const part: Partial<Model> = {
    inputs: [{ name: 'input', shape: [null, 3, 224, 224], dtype: 'f32' }],
    outputs: [{ name: 'predictions', shape: [null, labels?.length ?? 1000], dtype: 'f32' }],
    vertices: Array.from({ length: 66 }, (_, i) => ({ name: `layer_${i}`, type: 'conv2d', inputs: [], outputShape: [null, 32, 112, 112], parameters: 864, frozen: true, macs: 1e6 })),
    labels,
    preprocessing: { size: { width: 224, height: 224 }, fit: 'crop', cropFraction: 0.875, resample: 'bicubic', channelOrder: 'rgb', scale: 1, mean: [127, 127, 127], std: [128, 128, 128] },
    parameters: { total: 4_652_008, trainable: 0, frozen: 4_652_008 },
    summary: () => Array.from({ length: 66 }, (_, i) => `layer_${i}`.padEnd(24) + 'conv2d'.padEnd(12) + '[n, 112, 112, 32]'.padEnd(22) + '864  frozen').join('\n'),
    classifier: async (options) => fakeModel(options.labels),
    transferLearningHelper: () => helper as TransferLearningHelper,
    evaluate: async (data) => evaluate(data as FakeFeatures),
    predict: async (image, { topK = 5 } = {}): Promise<Prediction[]> => {
      await createImageBitmap(image as Blob).catch(() => {
        throw new RegraftError('bad-image', 'the image could not be decoded');
      });
      await wait(60);
      const names = labels ?? [];
      return names.map((label, index) => ({ label, index, probability: index === 0 ? 0.86 : 0.14 / Math.max(1, names.length - 1) })).slice(0, topK);
    },
    export: async (format): Promise<ExportResult> => {
      await wait(400);
      const name = format === 'onnx' ? 'model.onnx' : 'model.regraft.safetensors';
      return { files: { [name]: new Uint8Array(13_600_000) }, verified: { samples: 4, maxAbsDiff: format === 'onnx' ? 2.4e-7 : 0 } };
    },
    dispose: async () => undefined,
  };
  return part as Model;
}

const engine: Engine = {
  device: { backend: 'cpu', reason: 'fake', simd: 'relaxed-simd', threads: 2 },
  async load(source, { signal, onProgress } = {}) {
    const total = 9_400_000;
    for (let step = 0; step <= 10; step += 1) {
      await wait(60);
      if (stopped(signal)) throw new RegraftError('aborted', 'stopped');
      onProgress?.({ phase: step < 10 ? 'download' : 'parse', loaded: (total * step) / 10, total });
    }
    if (source instanceof Blob) {
      const magic = new TextDecoder('latin1').decode(await source.slice(0, 4).arrayBuffer());
      if (magic.includes('PNG')) throw new RegraftError('format', 'this is a PNG image, not a model');
    }
    return fakeModel(undefined);
  },
  async dataset(samples, { onProgress } = {}) {
    const items: Item[] = [];
    const rejected: { id: string; reason: string }[] = [];
    for await (const { image, label, id = '' } of samples as Iterable<Sample>) {
      if ((image as Blob).size < 32) rejected.push({ id, reason: 'not an image' });
      else items.push({ id, label: String(label) });
      onProgress?.({ phase: 'decode', done: items.length, total: 0, perSecond: 0 } satisfies Progress);
    }
    return new FakeDataset(items, [...new Set(items.map(({ label }) => label))].sort(), rejected);
  },
  loadFeatures: () => missing('loadFeatures'),
  memory: async () => ({ wasmBytes: 0, gpuBytes: 0, peakBytes: 0, liveTensors: 0 }),
  onDeviceChange: () => () => undefined,
  dispose: async () => undefined,
};

export async function createEngine(): Promise<Engine> {
  await wait(200);
  return engine;
}
