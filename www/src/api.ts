// The public types. Names and meanings are fixed by the contract of the package; what is not built yet is not declared.

// ------------------------------------------------------------------ engine

/** Where the arithmetic runs. */
export type BackendName = 'webgpu' | 'cpu';

/** Builds of the CPU engine, by the newest instruction set they use. */
export type SimdBuild = 'simd128' | 'relaxed-simd';

export interface EngineOptions {
  /** 'auto' (default) takes the fastest backend there is. 'webgpu' rejects with 'no-gpu' where there is none. */
  backend?: BackendName | 'auto';
  /** Workers that run the frozen part of a network, each on its own images. Default: one for each core. */
  threads?: number;
  /** Upper bound in bytes for weights and cached features. Exceeding it rejects with 'over-budget' before allocating. */
  memoryBudget?: number;
  /** Folder that holds `simd128/` and `relaxed-simd/` with their .wasm files. Default: beside the module. */
  assetsUrl?: string | URL;
  /** Gives up starting. */
  signal?: AbortSignal;
}

export interface DeviceInfo {
  backend: BackendName;
  /** Why this backend: probe timings, or what ruled the other one out. */
  reason: string;
  /** CPU build in use. */
  simd: SimdBuild;
  /** Workers at most at work on images. */
  threads: number;
  adapter?: { vendor: string; architecture: string; description: string; software: boolean };
}

/** A running engine: owns workers, models and features until dispose(). */
export interface Engine {
  readonly device: DeviceInfo;
  /** Reads a network; the format is detected from the bytes. */
  load(source: ModelSource, options?: LoadOptions): Promise<Model>;
  /** Reads labelled images, decoding each one once to find those that cannot be. */
  dataset(samples: Iterable<Sample> | AsyncIterable<Sample>, options?: DatasetOptions): Promise<Dataset>;
  /** Reads what FeatureSet.save() wrote. */
  loadFeatures(bytes: Uint8Array | Blob): Promise<FeatureSet>;
  /** Bytes held by all workers together. */
  memory(): Promise<{ wasmBytes: number; gpuBytes: number; peakBytes: number; liveTensors: number }>;
  /** Emitted when the GPU device is lost and rebuilt, or when work moves to the CPU. Returns the function that unsubscribes. */
  onDeviceChange(listener: (device: DeviceInfo, cause: string) => void): () => void;
  /** Ends all workers. Calls under way reject with 'disposed'. */
  dispose(): Promise<void>;
}

// ------------------------------------------------------------------ models

export type ModelFormat = 'onnx' | 'pytorch' | 'safetensors' | 'regraft';

/** Architectures that weights-only files can be read into. */
export type ZooName =
  | 'vgg16' | 'resnet18' | 'mobilenet_v2' | 'squeezenet1_1'
  | 'efficientnet_lite0' | 'efficientnet_lite1' | 'efficientnet_lite2' | 'efficientnet_lite3' | 'efficientnet_lite4';

/**
 * A URL (in Node also a path), a file the user picked, raw bytes, several files (a model and its external data), or a zoo
 * architecture with weights. Zoo networks end in a softmax vertex `predictions`, whatever file their weights come from.
 */
export type ModelSource =
  | string | URL | Blob | Uint8Array | ArrayBuffer
  | { files: Record<string, Blob | Uint8Array> }
  | { zoo: ZooName; weights: string | URL | Blob | Uint8Array | 'none' };

export interface LoadOptions {
  /** Default: detected from the bytes, never from the file name alone. */
  format?: ModelFormat;
  /** Needed when the file holds weights only (.pth). */
  architecture?: ZooName;
  /** Names of the classes, in the order of the model's outputs. */
  labels?: readonly string[];
  preprocessing?: Partial<Preprocessing>;
  /** Subresource-integrity string, e.g. 'sha256-…'. Mismatch rejects with 'integrity'; nothing is cached. */
  integrity?: string;
  /** Keep downloaded weights in the browser's storage, keyed by URL + integrity. Default true in browsers. */
  cache?: boolean;
  onProgress?(p: LoadProgress): void;
  signal?: AbortSignal;
}
export interface LoadProgress { phase: 'download' | 'parse' | 'compile'; loaded: number; total?: number }

/** How an image becomes the input of a network. */
export interface Preprocessing {
  size: { width: number; height: number };
  /** How an image of another aspect ratio is fitted. */
  fit: 'crop' | 'stretch' | 'pad';
  /** Share of the short side kept by a centre crop, e.g. 0.875. */
  cropFraction: number;
  resample: 'bilinear' | 'bicubic' | 'area';
  channelOrder: 'rgb' | 'bgr';
  /** x = (pixel[0..255] * scale - mean) / std, per channel, in channelOrder. */
  scale: number;
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
}

export interface TensorInfo { name: string; shape: readonly (number | null)[]; dtype: 'f32' | 'i32' | 'i64' | 'u8' | 'bool' }
export interface Tensor { dtype: TensorInfo['dtype']; shape: readonly number[]; data: Float32Array | Int32Array | BigInt64Array | Uint8Array }

export interface VertexSummary {
  name: string; type: string; inputs: readonly string[];
  outputShape: readonly (number | null)[]; parameters: number; frozen: boolean;
  /** Multiply-accumulates for one image. */
  macs: number;
}

/** A network. While fit() runs, every other call on the same model rejects with 'busy'. */
export interface Model {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** One per node or layer of the source, under the source's own name (a generated unique one where it has none). */
  readonly vertices: readonly VertexSummary[];
  readonly labels: readonly string[] | undefined;
  readonly preprocessing: Preprocessing;
  /** Parameter totals. */
  readonly parameters: { total: number; trainable: number; frozen: number };
  /** A printable table: name, type, output shape, parameters, frozen; totals last. */
  summary(): string;

  /** Raw inference on tensors in the layout of the source model (NCHW for ONNX and PyTorch). `outputs` may name any vertex. */
  run(inputs: Record<string, Tensor>, options?: { outputs?: readonly string[]; signal?: AbortSignal }): Promise<Record<string, Tensor>>;
  /** The most probable classes, best first. topK: 1 to the number of classes, default 5. */
  predict(image: ImageInput, options?: { topK?: number; signal?: AbortSignal }): Promise<Prediction[]>;
  /** predict() for many images, spread over all workers. */
  predictAll(images: Dataset | Iterable<ImageInput>, options?: { topK?: number; signal?: AbortSignal; onProgress?(p: Progress): void }): Promise<Prediction[][]>;

  /** Edit a copy. This model stays as it is. */
  transferLearning(): TransferLearning;
  /** Shorthand for the common case: freeze everything up to `at` (default: the last pooled feature), new softmax head for `labels`. */
  classifier(options: { labels: readonly string[]; at?: string; hidden?: readonly number[]; dropout?: number; seed?: number }): Promise<Model>;

  /** Frozen trunk and trainable tail as two parts. Without `at` the boundary is the model's own frozen set. */
  transferLearningHelper(at?: readonly string[]): TransferLearningHelper;

  /** Frozen part runs once per image (features are cached), then the rest is trained. */
  fit(train: Dataset, options?: FitOptions): Promise<History>;
  evaluate(data: Dataset | FeatureSet, options?: { topN?: number; signal?: AbortSignal; onProgress?(p: Progress): void }): Promise<Evaluation>;

  export(format: ExportFormat, options?: ExportOptions): Promise<ExportResult>;
  /** Frees the weights. A fit under way stops and rejects with 'disposed'. */
  dispose(): Promise<void>;
}

// ------------------------------------------------------------------ transfer learning

export type Activation = 'identity' | 'relu' | 'relu6' | 'sigmoid' | 'softmax';
/** Two names of the cross-entropy with class probabilities. */
export type Loss = 'negativeloglikelihood' | 'mcxent';
/** How new weights are drawn, by Deeplearning4j's names. */
export type WeightInit =
  | 'zero' | 'ones' | 'normal' | 'uniform' | 'xavier' | 'xavier_uniform' | 'relu' | 'relu_uniform' | 'lecun_normal' | 'lecun_uniform';
/** Defaults: rate 1e-3 (nesterovs 0.1), momentum 0.9, beta1 0.9, beta2 0.999, epsilon 1e-8. */
export type Updater =
  | { type: 'sgd'; learningRate?: number }
  | { type: 'nesterovs'; learningRate?: number; momentum?: number }
  | { type: 'adam'; learningRate?: number; beta1?: number; beta2?: number; epsilon?: number };

/** Settings for training, and defaults for new layers. */
export interface FineTuneConfiguration {
  /** Default: adam. */
  updater?: Updater;
  /** Seed of new weights and, unless fit() gives its own, of training. Default 0. */
  seed?: number;
  activation?: Activation; weightInit?: WeightInit; biasInit?: number;
}

/** Settings of layers with weights. */
export interface LayerConfig {
  /** Default: 'identity'; of an output layer 'softmax'. */
  activation?: Activation;
  /** Default: 'xavier'. */
  weightInit?: WeightInit;
  biasInit?: number;
  /** Probability of DROPPING a unit of the layer's input while training (PyTorch/Keras convention). */
  dropout?: number;
  /** Inferred when absent. */
  nIn?: number;
  hasBias?: boolean;
}
export type Layer =
  | LayerConfig & { type: 'dense'; nOut: number }
  | LayerConfig & { type: 'output'; nOut: number; loss: Loss }
  | { type: 'activation'; activation: Activation }
  | { type: 'dropout'; dropout: number };

/**
 * Edits are recorded and applied by build(); their order does not change the result. A name that does not exist,
 * two edits that contradict each other, a dangling vertex or a shape that does not fit rejects build() with a
 * RegraftError that names the vertex. Shapes are re-inferred through every kind of vertex.
 */
export interface TransferLearning {
  fineTuneConfiguration(configuration: FineTuneConfiguration): this;
  /** Freeze the named vertices and all their ancestors. */
  setFeatureExtractor(...names: string[]): this;
  /** Remove a vertex; its readers keep naming it, so a layer has to be added under the same name. */
  removeVertexKeepConnections(name: string): this;
  /** Remove a vertex, and its name from all readers and from the outputs. */
  removeVertexAndConnections(name: string): this;
  /** Several inputs are concatenated; images are flattened for dense layers. */
  addLayer(name: string, layer: Layer, ...inputs: string[]): this;
  /** Replaces the list of outputs, in this order. */
  setOutputs(...names: string[]): this;
  setLabels(labels: readonly string[]): this;
  /** The edited copy; `reinitialized` names the vertices with new random weights. */
  build(): Promise<Model & { readonly reinitialized: readonly string[] }>;
}

export interface TransferLearningHelper {
  /** Boundary vertices, in the order in which feature tensors are stored. */
  readonly boundary: readonly string[];
  /** Runs the frozen part on every image. */
  featurize(data: Dataset, options?: FeaturizeOptions): Promise<FeatureSet>;
  /** Trains the rest; the model learns in place. */
  fitFeaturized(features: FeatureSet, options?: FitOptions): Promise<History>;
  outputFromFeaturized(features: FeatureSet): Promise<Record<string, Tensor>>;
}
export interface FeaturizeOptions {
  /** How features are kept. 'f16' halves their memory. Default 'f32'. */
  dtype?: 'f32' | 'f16';
  signal?: AbortSignal; onProgress?(p: Progress): void;
}

/** What the frozen part made of a dataset. */
export interface FeatureSet {
  readonly count: number; readonly labels: readonly string[];
  readonly tensors: readonly { name: string; shape: readonly number[]; dtype: 'f32' | 'f16' }[];
  /** Hash of frozen weights + boundary + preprocessing. A helper of another trunk rejects the set with 'stale-features'. */
  readonly trunkKey: string;
  toTensors(): Promise<Record<string, Tensor>>;
  /** Two new sets. Stratified by default: each class is split on its own; groups stay together. */
  split(fraction: number, options?: { seed?: number; stratified?: boolean }): [FeatureSet, FeatureSet];
  /** safetensors bytes. */
  save(): Promise<Uint8Array>;
  dispose(): Promise<void>;
}

// ------------------------------------------------------------------ data

/** Encoded images (Blob, bytes), anything a browser can draw, or pixels: rows of `channels` bytes, not premultiplied. */
export type ImageInput = Blob | Uint8Array | ImageBitmap | ImageData | HTMLCanvasElement | OffscreenCanvas | HTMLImageElement | HTMLVideoElement
  | { data: Uint8Array | Uint8ClampedArray; width: number; height: number; channels?: 1 | 3 | 4 };
export interface Sample {
  image: ImageInput;
  /**
   * The class; the names of several classes, each with target 1 (for an output with the loss 'xent'); or a number from 0 up for each of
   * `DatasetOptions.labels`, such as probabilities. Where one class is needed (counts, splits, balancing, accuracy), the largest entry
   * counts, the first of equal ones.
   */
  label: string | readonly string[] | readonly number[];
  /** Samples of one group never end up on both sides of a split. */
  group?: string;
  /** Names the image in `rejected` and `mistakes`. Default: the path or name of a File, else its position. */
  id?: string;
}
export interface DatasetOptions {
  /** All classes, in this order. Default: the distinct labels, sorted. Needed where labels are numbers. */
  labels?: readonly string[];
  onProgress?(p: Progress): void; signal?: AbortSignal;
}
/** Labels are the distinct strings in sorted order, so indices do not depend on the order of files. Undecodable images are listed in `rejected`, not lost in silence. */
export interface Dataset {
  readonly count: number; readonly labels: readonly string[]; readonly counts: Readonly<Record<string, number>>;
  readonly rejected: readonly { id: string; reason: string }[];
  /** Two disjoint parts. Stratified by default; groups stay together. */
  split(trainFraction: number, options?: { seed?: number; stratified?: boolean }): { train: Dataset; test: Dataset };
  /** The same number of images of each class: `perLabel`, or as many as the smallest class has. */
  balanced(options?: { perLabel?: number; seed?: number }): Dataset;
  /** k pairs for cross-validation; every image is tested once. */
  folds(k: number, options?: { seed?: number }): { train: Dataset; test: Dataset }[];
}

// ------------------------------------------------------------------ training

export interface FitOptions {
  /** Passes over the data. Default 30. */
  epochs?: number;
  /** Images per update. Default 16. */
  batchSize?: number;
  /** Updates after which training stops, whatever `epochs` says. */
  maxIterations?: number;
  /** Whether images come in another order in every epoch. Default true. */
  shuffle?: boolean;
  /** Seed of shuffling, dropout and of a validation share. Default: the model's. */
  seed?: number;
  /** Data to measure after each epoch; a number holds that share of the training data out. */
  validation?: Dataset | FeatureSet | number;
  /** Default: the model's. */
  updater?: Updater;
  onProgress?(p: Progress): void;
  /** Stops training: fit() then resolves with what it has. */
  signal?: AbortSignal;
}
export interface Progress {
  phase: 'decode' | 'featurize' | 'train' | 'validate' | 'evaluate' | 'export';
  done: number; total: number; perSecond: number; secondsLeft?: number;
  epoch?: number; iteration?: number; loss?: number; accuracy?: number; valLoss?: number; valAccuracy?: number; learningRate?: number;
}
export interface History {
  epochs: readonly { epoch: number; loss: number; accuracy: number; valLoss?: number; valAccuracy?: number; learningRate: number; seconds: number }[];
  /** Mean loss of each batch before its update, without penalties. */
  iterations: readonly { loss: number }[];
  stoppedBy: 'epochs' | 'iterations' | 'early-stopping' | 'aborted'; bestEpoch: number;
  seconds: { featurize: number; train: number };
}
export interface Prediction { label: string; index: number; probability: number }
export interface Evaluation {
  count: number; accuracy: number; accuracyInterval95: readonly [number, number]; balancedAccuracy: number; topNAccuracy: number; loss: number;
  macroF1: number; mcc: number; expectedCalibrationError: number;
  labels: readonly string[];
  perClass: readonly { label: string; precision: number; recall: number; f1: number; support: number; rocAuc: number }[];
  /** rows: actual, columns: predicted */
  confusionMatrix: readonly (readonly number[])[];
  mistakes: readonly { id: string; label: string; predicted: string; probability: number }[];
  toString(): string;
}

// ------------------------------------------------------------------ export

export type ExportFormat = 'onnx' | 'regraft';
export interface ExportOptions {
  /** How weights are stored. Default 'f32'. 'f16' for regraft files alone. */
  dtype?: 'f32' | 'f16';
  /** Put scaling and normalisation into the graph, so that it takes raw 0..255 pixels. ONNX alone. */
  includePreprocessing?: boolean;
  /** Entries for the file's metadata. */
  modelCard?: Record<string, string>;
}
export interface ExportResult {
  files: Record<string, Uint8Array>;
  /** The written file was read back and run against this model on seeded random inputs. */
  verified: { samples: number; maxAbsDiff: number };
}
