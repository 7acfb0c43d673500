// What the wasm module gives. One instance a worker; every call is synchronous and short; failures throw an Error with own
// properties `code` and `vertex`; objects live in wasm memory until free().
import type {
  Augmentation, CutPoint, Evaluation, ExportFormat, ExportOptions, FineTuneConfiguration, HeatMap, History, Layer, ModelFormat, Prediction, Preprocessing,
  Tensor, TensorInfo, Vertex, VertexSummary, WeightInit, ZooName,
} from './api.js';

export interface ModelOptions {
  format?: ModelFormat | undefined; architecture?: ZooName | undefined; labels?: readonly string[] | undefined;
  preprocessing?: Partial<Preprocessing> | undefined; seed?: number | undefined;
  /** Whether the module makes the file's digest; else setDigest() is called. */
  digest?: boolean | undefined;
}
export interface ModelInfo {
  inputs: TensorInfo[]; outputs: TensorInfo[]; vertices: VertexSummary[]; labels?: string[]; preprocessing: Preprocessing;
  parameters: { total: number; trainable: number; frozen: number };
}
export interface ClassifierOptions { labels: readonly string[]; at?: string; hidden?: readonly number[]; dropout?: number; seed?: number }

/** One call of the TransferLearning builder, as data. */
export type Edit =
  | { type: 'fineTuneConfiguration'; configuration: FineTuneConfiguration }
  | { type: 'setFeatureExtractor' | 'unfreeze' | 'setInputs' | 'setOutputs'; names: readonly string[] }
  | { type: 'nOutReplace'; name: string; nOut: number; init?: WeightInit | undefined; nextInit?: WeightInit | undefined }
  | { type: 'nInReplace'; name: string; nIn: number; init?: WeightInit | undefined }
  | { type: 'removeVertexKeepConnections' | 'removeVertexAndConnections'; name: string }
  | { type: 'addLayer'; name: string; layer: Layer; inputs: readonly string[] }
  | { type: 'addVertex'; name: string; vertex: Vertex; inputs: readonly string[] }
  | { type: 'setLabels'; labels: readonly string[] };

/** Names of vertices to cut after; undefined = the model's own frozen set. */
export type Cut = readonly string[] | undefined;

interface Freed { free(): void }

/** A graph with its weights. */
export interface WasmModel extends Freed {
  info(): ModelInfo;
  /** Tells the SHA-256 of its file, in hexadecimal digits. */
  setDigest(digest: string): void;
  /** Of its configuration. */
  seed(): number;
  run(inputs: Record<string, Tensor>, outputs: readonly string[] | undefined): Record<string, Tensor>;
  /** run() on a device. */
  runOn(device: WasmDevice, inputs: Record<string, Tensor>, outputs: readonly string[] | undefined): Promise<Record<string, Tensor>>;
  /** A run, step by step. `now` gives milliseconds. */
  profile(inputs: Record<string, Tensor>, now: () => number): StepTime[];
  /** Recorded edits, applied to a copy. */
  edit(edits: readonly Edit[]): WasmModel;
  reinitialized(): string[];
  classifier(options: ClassifierOptions): WasmModel;
  boundary(at: Cut): string[];
  trunkKey(at: Cut): string;
  /** regraft bytes of the frozen part alone. */
  trunk(at: Cut): Uint8Array;
  outputFromFeatures(device: WasmDevice, features: WasmFeatures, at: Cut): Promise<Record<string, Tensor>>;
  evaluate(device: WasmDevice, features: WasmFeatures, options: { topN?: number | undefined }, at: Cut): Promise<Omit<Evaluation, 'toString'> & { text: string }>;
  /** Plans what predict() does, which does it itself where this was not called. */
  planPredict(): void;
  predict(pixels: Uint8Array, width: number, height: number, channels: number, topK: number): Prediction[];
  /** predict() on a device, for what WasmPreprocessing made of an image. */
  predictOn(device: WasmDevice, pixels: Float32Array, topK: number): Promise<Prediction[]>;
  /** Frees what runOn() and predictOn() keep on their device. */
  forgetGpu(): void;
  cutPoints(): CutPoint[];
  gradCam(pixels: Uint8Array, width: number, height: number, channels: number, label: string | undefined, at: string | undefined): HeatMap;
  /** The trainable part alone, with the parameters' present values. */
  unfrozen(at: Cut): WasmModel;
  export(format: ExportFormat, options: ExportOptions): { files: Map<string, Uint8Array>; verified: { samples: number; maxAbsDiff: number } };
}

/** What a step of a plan does, with NHWC shapes, and how long it took. */
export interface StepTime { vertex: string; op: string; input: number[]; output: number[]; macs: number; time: number; gpu?: GpuCost }
/** A step as a GPU sees it: bytes that have to be read and written, each once, and words that invocations load, each as often as it is loaded. */
export interface GpuCost { dispatches: number; invocations: number; macs: number; bytes: number; loads: number }

/** The frozen part of a model, in a trunk worker. */
export interface WasmTrunk extends Freed {
  tensors(): FeatureTensor[];
  /** Resizes, normalises and runs one image; all boundary tensors one after the other. Four channels are composited on white. */
  featurize(pixels: Uint8Array, width: number, height: number, channels: number): Float32Array;
  /** The same of view `view` of sample `index`, with the pixels of the sample it is mixed with, if it is. */
  featurizeView(views: WasmViews, index: number, view: number, image: WasmPixels, partner: WasmPixels | undefined): Float32Array;
}
/** A trunk in a memory that instances in other workers share. */
export interface SharedTrunk extends WasmTrunk {
  /** Makes one on the same weights, for a thread of its own: the number that take() wants there, once. */
  handOver(): number;
}

/** Where plans run. */
export interface WasmDevice extends Freed {
  gpuBytes(): number;
  /**
   * Tiles in which products with few terms a sum, and with many, are fastest, and the forms of 3×3 convolutions with few channels, and with many;
   * plans follow it from then on. `now` gives milliseconds.
   */
  timeTiles(now: () => number): Promise<string[]>;
  /** Frees buffers that wait to be used again. */
  trim(): void;
  /** Loses the device. */
  destroy(): void;
}

/** The frozen part of a model on a device, for a batch of images at a time. A call while run() is under way is 'busy'. */
export interface WasmBatchTrunk extends Freed {
  tensors(): FeatureTensor[];
  /** A run on what the last one left, step by step. `now` gives milliseconds. */
  profile(now: () => number): Promise<StepTime[]>;
  /** Features of at most a batch of images that WasmPreprocessing made, one after the other. */
  run(pixels: Float32Array): Promise<Float32Array>;
}

/** Makes images the input of a network: height × width × 3. */
export interface WasmPreprocessing extends Freed {
  image(pixels: Uint8Array, width: number, height: number, channels: number): Float32Array;
  /** As of WasmTrunk. */
  view(views: WasmViews, index: number, view: number, image: WasmPixels, partner: WasmPixels | undefined): Float32Array;
}
/** One boundary tensor of one image. */
export interface FeatureTensor { name: string; shape: number[] }
export interface WasmPixels { data: Uint8Array; width: number; height: number; channels: number }

/** What the augmented views of a data set's samples look like: the same in every worker that has the same values. */
export interface WasmViews extends Freed {
  /** The sample that a view is mixed with. */
  partner(index: number, view: number): number | undefined;
  target(index: number, view: number, own: Float32Array, partner: Float32Array): Float32Array;
}
/** `count`: number of samples. */
export interface ViewOptions { seed: number; count: number; size: { width: number; height: number } }

export interface FeaturesInfo {
  /** Images, of which each has `views` rows: the plain one and the augmented ones. */
  count: number; views: number;
  /** Whether views show parts of other images, so that the set cannot be split. */
  mixed: boolean;
  labels: string[]; tensors: (FeatureTensor & { dtype: 'f32' | 'f16' })[]; trunkKey: string; ids: string[];
  /** Label index of each image, and its group: -1 = none. */
  rowLabels: Uint32Array; rowGroups: Int32Array;
}
/** Features of labelled samples. */
export interface WasmFeatures extends Freed {
  /** Each row (image · views + view) is set once, in any order. `target`: one entry a label; `group`: -1 = none. */
  set(index: number, target: Float32Array, id: string, group: number, features: Float32Array): void;
  info(): FeaturesInfo;
  toTensors(): Record<string, Tensor>;
  /** Some images with all their views, copied, in this order. */
  select(images: Uint32Array): WasmFeatures;
  save(): Uint8Array;
  /** Another handle on the same features, for those who take one away. */
  share(): WasmFeatures;
}

/** Training of the unfrozen part on cached features, in slices. A call while a promise is open is 'busy'. */
export interface WasmTrainer extends Freed {
  /** Trains for about budgetMs, at least one iteration, and not past the end of an epoch. */
  run(budgetMs: number): Promise<TrainStatus>;
  /** Waits for what checkpoint() and finish() give. */
  arrive(): Promise<void>;
  /** Goes on on another device from the end of the last epoch. */
  moveTo(device: WasmDevice): void;
  /** One step, part by part; the run does not count it. */
  profile(now: () => number): Promise<StepTime[]>;
  /** Ends the run as early stopping does: the next run() says so. */
  stop(): void;
  /** The run as bytes that create() takes. */
  checkpoint(): Uint8Array;
  /** Writes the parameters into the model. Once, at the end, also after an abort. */
  finish(model: WasmModel, stoppedBy: StoppedBy): Trained;
}
/** 'diverged': values stopped being numbers, and the last completed epoch was restored. */
export type StoppedBy = History['stoppedBy'] | 'diverged';
/** A history without the times. */
export interface Trained extends Omit<History, 'seconds' | 'epochs' | 'stoppedBy'> {
  epochs: readonly Omit<History['epochs'][number], 'seconds'>[];
  stoppedBy: StoppedBy;
  /** The update, from 0, and the first vertex with a value that was no number. */
  divergence?: { iteration: number; vertex: string };
}
export interface TrainStatus {
  finished: boolean; stoppedBy?: StoppedBy;
  epoch: number; epochs: number; iteration: number; iterations: number;
  loss: number; accuracy: number; learningRate: number; valLoss?: number; valAccuracy?: number;
  /** At the end of an epoch. */
  updateRatios?: Record<string, number>;
  epochEnded: boolean;
}

/** The module once instantiated. */
export interface WasmModule {
  version(): string;
  printSummary(vertices: readonly VertexSummary[], total: number, trainable: number): string;
  /** Has tiles of products and convolutions have at most so many rows. */
  limitTileRows(rows: number): void;
  memoryUse(): { wasmBytes: number; liveTensors: number };
  WasmModel: { load(files: Map<string, Uint8Array>, options: ModelOptions): WasmModel };
  WasmTrunk: { load(bytes: Uint8Array): WasmTrunk };
  WasmDevice: { cpu(): WasmDevice; webgpu(lanes?: number): Promise<WasmDevice> };
  WasmBatchTrunk: { create(device: WasmDevice, model: WasmModel, at: Cut, batch: number): WasmBatchTrunk };
  WasmPreprocessing: { create(preprocessing: Preprocessing): WasmPreprocessing };
  WasmViews: { create(augmentation: Augmentation, options: ViewOptions): WasmViews };
  WasmFeatures: {
    create(tensors: FeatureTensor[], options: { count: number; labels: readonly string[]; trunkKey: string; dtype: 'f32' | 'f16'; views: number }): WasmFeatures;
    load(bytes: Uint8Array): WasmFeatures;
  };
  WasmTrainer: {
    /** Takes the handle `validation` away. With a checkpoint, its settings hold where `options` says nothing. */
    create(
      device: WasmDevice, model: WasmModel, at: Cut, train: WasmFeatures, validation: WasmFeatures | undefined, options: object, checkpoint: Uint8Array | undefined,
    ): WasmTrainer;
  };
  /** Groups: -1 = none. Results are positions in the lists given. */
  splitIndices(labels: Uint32Array, groups: Int32Array, fraction: number, seed: number, stratified: boolean): IndexSplit;
  balancedIndices(labels: Uint32Array, perLabel: number | undefined, seed: number): Uint32Array;
  foldIndices(labels: Uint32Array, groups: Int32Array, k: number, seed: number): IndexSplit[];
}

/** The build whose instances share a memory. Handles belong to the instance that made them. */
export interface ThreadedModule extends WasmModule {
  /** Makes the calling thread one of `threads` that work for its calls. The others have to join. */
  startThreads(threads: number): void;
  /** Works for the thread that started threads, and does not return. */
  joinThreads(): void;
  WasmTrunk: WasmModule['WasmTrunk'] & {
    of(model: WasmModel, at: Cut): SharedTrunk;
    take(number: number): WasmTrunk;
  };
}
export interface IndexSplit { train: Uint32Array; test: Uint32Array }
