// The public types. Names and meanings are fixed by the contract of the package; what is not built yet is not declared.

// ------------------------------------------------------------------ engine

/** Where the arithmetic runs. */
export type BackendName = 'webgpu' | 'cpu';

/** Builds of the CPU engine, by the newest instruction set they use. */
export type SimdBuild = 'simd128' | 'relaxed-simd';

export interface EngineOptions {
  /** 'auto' (default) takes the fastest backend there is. 'webgpu' rejects with 'no-gpu' where there is none. */
  backend?: BackendName | 'auto';
  /**
   * Workers that run the frozen part of a network, each on its own images; on cross-origin isolated pages also the threads that one
   * prediction or training step is split over. Default: one for each core.
   */
  threads?: number;
  /** Upper bound in bytes for weights and cached features. Exceeding it rejects with 'over-budget' before allocating. */
  memoryBudget?: number;
  /** Folder that holds `simd128/`, `relaxed-simd/` and `relaxed-simd-threads/` with their .wasm files. Default: beside the module. */
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
  /** Cores at most at work. */
  threads: number;
  adapter?: { vendor: string; architecture: string; description: string; software: boolean };
}

/** A running engine: owns workers, models and features until dispose(). */
export interface Engine {
  readonly device: DeviceInfo;
  /** Reads a network; the format is detected from the bytes. */
  load(source: ModelSource, options?: LoadOptions): Promise<Model>;
  /**
   * Reads labelled images, decoding each one once to find those that cannot be. A Blob or File that a dataset in use holds already is
   * not decoded again, nor is the frozen part of a network run on it again.
   */
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

  /**
   * Cost of cutting at each vertex through which everything passes, in the order of the network, before anything runs. `featureShape` is
   * that of one image, `headParameters` are those behind the cut.
   */
  cutPoints(): readonly CutPoint[];

  /** Frozen trunk and trainable tail as two parts. Without `at` the boundary is the model's own frozen set. */
  transferLearningHelper(at?: readonly string[]): TransferLearningHelper;

  /**
   * Frozen part runs once per image and view (features are cached), then the rest is trained. Where values become infinite or not a number,
   * rejects with 'bad-option' that names the vertex where it began, `detail` being the history; the model is then as after the last
   * completed epoch. A network without a loss is 'conflict': the message says which vertex to replace by an output layer.
   */
  fit(train: Dataset, options?: FitOptions): Promise<History>;
  /** Numbers on labelled data. topN: 1 to the number of classes, default 5; classes are matched by name. */
  evaluate(data: Dataset | FeatureSet, options?: { topN?: number; signal?: AbortSignal; onProgress?(p: Progress): void }): Promise<Evaluation>;
  /**
   * Where the model looked: a heat map in [0, 1] of the preprocessing size, row by row (Grad-CAM). label: default the most probable class;
   * at: default the last feature map of more than one pixel.
   */
  gradCam(image: ImageInput, options?: { label?: string; at?: string }): Promise<HeatMap>;

  export(format: ExportFormat, options?: ExportOptions): Promise<ExportResult>;
  /** Frees the weights. A fit under way stops and rejects with 'disposed'. */
  dispose(): Promise<void>;
}

export interface CutPoint { name: string; featureShape: readonly number[]; featureBytesPerImage: number; trunkMacs: number; headParameters: number }
export interface HeatMap { width: number; height: number; data: Float32Array }

// ------------------------------------------------------------------ transfer learning

/**
 * Functions of a layer's result. leakyrelu: slope 0.01 below 0; elu: α 1; gelu: exact, with the error function; hardsigmoid: x / 5 + ½ in
 * [0, 1]; hardtanh: x in [−1, 1]; softmax: over the last dimension; swish: x · sigmoid(x); hardswish: x · (x / 6 + ½ in [0, 1]).
 */
export type Activation =
  | 'identity' | 'relu' | 'relu6' | 'leakyrelu' | 'elu' | 'selu' | 'gelu' | 'sigmoid' | 'hardsigmoid' | 'tanh' | 'hardtanh'
  | 'softmax' | 'softplus' | 'softsign' | 'swish' | 'hardswish' | 'mish';
/**
 * What training makes small: the mean over the images of a batch, with Keras's formulas. Of a row of outputs y and targets t:
 * negativeloglikelihood, mcxent (two names) and sparse_mcxent (for labels of one class each): −Σ t ln y; kl_divergence: Σ t ln(t / y);
 * cosine_proximity: −cos(y, t). Means over the columns: xent: −t ln y − (1 − t) ln(1 − y), for several classes at once; mse, mae;
 * hinge, squared_hinge: max(1 − s y, 0), s being 1 for targets above ½ and −1 for others; poisson: y − t ln y. A loss of probabilities on
 * outputs that are none is 'conflict'.
 */
export type Loss =
  | 'negativeloglikelihood' | 'mcxent' | 'sparse_mcxent' | 'xent' | 'mse' | 'mae' | 'hinge' | 'squared_hinge' | 'kl_divergence' | 'poisson' | 'cosine_proximity';
/**
 * How new weights are drawn, by Deeplearning4j's names. With the sizes fanIn and fanOut of the layer: normal and lecun_normal: σ = √(1/fanIn);
 * uniform: ±√(1/fanIn); xavier: σ = √(2/(fanIn + fanOut)); xavier_uniform: ±√(6/(fanIn + fanOut)); relu: σ = √(2/fanIn);
 * relu_uniform: ±√(6/fanIn); lecun_uniform: ±√(3/fanIn); identity: 1 where input and output have
 * the same number, of a convolution in the middle of its filters.
 * truncated_normal is drawn again beyond two σ; orthogonal: orthonormal rows or columns, whichever are fewer, times `gain`.
 */
export type WeightInit =
  | 'zero' | 'ones' | 'normal' | 'uniform' | 'xavier' | 'xavier_uniform' | 'relu' | 'relu_uniform' | 'lecun_normal' | 'lecun_uniform' | 'identity'
  | { distribution: 'normal'; mean: number; std: number }
  | { distribution: 'truncated_normal'; mean: number; std: number }
  | { distribution: 'uniform'; lower: number; upper: number }
  | { distribution: 'orthogonal'; gain: number };
/**
 * A value as a function of i, the updates (default) or epochs done so far.
 * step: initial · decayRate^⌊i/step⌋; exponential: initial · gamma^i; inverse: initial / (1 + gamma · i)^power;
 * poly: initial · (1 − i/max)^power, 0 from max on; sigmoid: initial / (1 + e^(−gamma · (i − step))); cosine: from initial to final
 * (default 0) in `length`; map: the value of the largest key not above i, there being a key 0; ramp: (i + 1)/length of another schedule
 * in the first `length` updates, then all of it; cycle: linearly from initial to max and back, the last annealLength of `length` updates
 * falling by annealDecay each (Smith 2018, "1cycle").
 */
export type Schedule =
  | { type: 'fixed'; value: number }
  | { type: 'step'; initial: number; decayRate: number; step: number; per?: 'iteration' | 'epoch' }
  | { type: 'exponential'; initial: number; gamma: number; per?: 'iteration' | 'epoch' }
  | { type: 'inverse'; initial: number; gamma: number; power: number; per?: 'iteration' | 'epoch' }
  | { type: 'poly'; initial: number; power: number; max: number; per?: 'iteration' | 'epoch' }
  | { type: 'sigmoid'; initial: number; gamma: number; step: number; per?: 'iteration' | 'epoch' }
  | { type: 'cosine'; initial: number; final?: number; length: number; per?: 'iteration' | 'epoch' }
  | { type: 'map'; values: Record<number, number>; per?: 'iteration' | 'epoch' }
  | { type: 'ramp'; length: number; then: Schedule }
  | { type: 'cycle'; initial: number; max: number; length: number; annealLength: number; annealDecay: number };
export type Rate = number | Schedule;
/**
 * Defaults are Deeplearning4j's. learningRate: 1e-3; of nesterovs, adagrad and rmsprop 0.1. momentum 0.9, beta1 0.9, beta2 0.999,
 * epsilon 1e-8 (adagrad, adadelta 1e-6), rmsprop's decay and adadelta's rho 0.95, adamw's weightDecay 0.01 (decoupled, times the rate).
 * noop leaves parameters as they are.
 */
export type Updater =
  | { type: 'sgd'; learningRate?: Rate }
  | { type: 'nesterovs'; learningRate?: Rate; momentum?: Rate }
  | { type: 'adam' | 'amsgrad' | 'adamax' | 'nadam'; learningRate?: Rate; beta1?: number; beta2?: number; epsilon?: number }
  | { type: 'adamw'; learningRate?: Rate; beta1?: number; beta2?: number; epsilon?: number; weightDecay?: number }
  | { type: 'adagrad'; learningRate?: Rate; epsilon?: number }
  | { type: 'rmsprop'; learningRate?: Rate; decay?: number; epsilon?: number }
  | { type: 'adadelta'; rho?: number; epsilon?: number }
  | { type: 'noop' };
/**
 * What is done to gradients of the mean loss, before penalties are added: Euclidean norms made 1 or at most `threshold`, of each
 * parameter, of all parameters of a layer, or of all together; or each element kept within ±threshold.
 */
export type GradientNormalization =
  | { type: 'renormalize_l2_per_layer' | 'renormalize_l2_per_param_type' }
  | { type: 'clip_elementwise_absolute_value' | 'clip_l2_per_layer' | 'clip_l2_per_param_type' | 'clip_l2_global'; threshold: number };
/** What weights are projected to after each update; norms are those of the weights into one unit. rate: share of the way, in (0, 1], default 1. */
export type Constraint =
  | { type: 'max_norm'; max: number } | { type: 'min_max_norm'; min: number; max: number; rate?: number } | { type: 'unit_norm' } | { type: 'non_negative' };

/**
 * Learning settings of a layer, or of all of them. undefined = leave as it is; null = remove. l1, l2, weightDecay (and adamw's) act on
 * weights; biases and batch-norm parameters only through the …Bias fields.
 */
export interface LearningConfig {
  /** Of weights and, without biasUpdater, of everything else. Default: nesterovs with rate 1e-2. */
  updater?: Updater;
  /** Of biases and batch-norm parameters. */
  biasUpdater?: Updater;
  /** l1 · Σ|w| in the objective. Default: none. */
  l1?: number | null;
  /** ½ · l2 · Σw² in the objective. Default: none. */
  l2?: number | null;
  /** Decoupled decay: w −= rate · weightDecay · w beside each update. Default: none. */
  weightDecay?: number | null;
  l1Bias?: number | null; l2Bias?: number | null;
  /** Probability of DROPPING a unit of the layer's input while training (PyTorch/Keras convention), in [0, 1). Default: none. */
  dropout?: number | null;
  gradientNormalization?: GradientNormalization | null;
  constraints?: readonly Constraint[] | null;
  /** Of new layers. Default 'identity'; of an output layer 'softmax'. Existing layers keep theirs. */
  activation?: Activation;
  /** Of weights that are drawn anew. Default 'xavier'. */
  weightInit?: WeightInit;
  /** Of biases that are drawn anew. Default 0. */
  biasInit?: number;
}
/** Settings of all layers that are not frozen. A layer's own settings win over these, these over the original model's. */
export interface FineTuneConfiguration extends LearningConfig {
  /** Of new weights and, unless fit() gives its own, of training. Default 0. */
  seed?: number;
}

/**
 * A layer to add. nOut: units or channels; kernelSize, stride, dilation: rows and columns, or one number for both; padding: 'same' (as
 * many results as ⌈size / stride⌉), 'valid' (default, none), a number of cells on all sides, or [top, left, bottom, right].
 * stride 1 (of a pooling: kernelSize), dilation 1, groups 1, depthMultiplier 1, hasBias true, epsilon 1e-3, batchNorm's momentum (the
 * share that running statistics keep in an update) 0.99. lossWeights: a factor for each column of the loss. A depthwise convolution has
 * channels · depthMultiplier results; nOut of a separable one is that of the 1×1 convolution behind it.
 */
export type Layer = LearningConfig & {
  /** Inferred when absent; otherwise checked. */
  nIn?: number;
} & (
  | { type: 'dense'; nOut: number; hasBias?: boolean }
  | { type: 'output'; nOut: number; loss: Loss; lossWeights?: readonly number[]; hasBias?: boolean }
  | { type: 'conv2d'; nOut: number; kernelSize: number | [number, number]; stride?: number | [number, number]; padding?: 'same' | 'valid' | number | [number, number, number, number]; dilation?: number | [number, number]; groups?: number; hasBias?: boolean }
  | { type: 'depthwiseConv2d' | 'separableConv2d'; nOut?: number; depthMultiplier?: number; kernelSize: number | [number, number]; stride?: number | [number, number]; padding?: 'same' | 'valid' | number; dilation?: number; hasBias?: boolean }
  | { type: 'batchNorm'; epsilon?: number; momentum?: number }
  | { type: 'layerNorm'; epsilon?: number }
  | { type: 'activation'; activation: Activation }
  | { type: 'dropout'; dropout: number }
  | { type: 'maxPool' | 'avgPool'; kernelSize: number | [number, number]; stride?: number | [number, number]; padding?: 'same' | 'valid' | number }
  | { type: 'globalPool'; pooling: 'avg' | 'max' }
  | { type: 'flatten' }
);
/**
 * A vertex without parameters. add, multiply, average and max take any number of inputs, subtract two. merge: all inputs along a
 * dimension (default: channels or features); subset: features or channels from..to, both included; scale: times a factor; shift: plus a
 * number; l2Normalize: each row by its Euclidean norm; reshape: dimensions after the batch, one of which may be −1.
 */
export type Vertex =
  | { type: 'add' | 'subtract' | 'multiply' | 'average' | 'max' } | { type: 'merge'; axis?: number }
  | { type: 'subset'; from: number; to: number } | { type: 'scale'; factor: number } | { type: 'shift'; by: number }
  | { type: 'l2Normalize' } | { type: 'reshape'; shape: readonly number[] };

/**
 * Edits are recorded and applied by build(); their order does not change the result. A name that does not exist,
 * two edits that contradict each other, a dangling vertex or a shape that does not fit rejects build() with a
 * RegraftError that names the vertex. Shapes are re-inferred through every kind of vertex.
 */
export interface TransferLearning {
  /** Settings of all layers that are not frozen. Two calls that differ are 'conflict', as with the other calls that say one thing. */
  fineTuneConfiguration(configuration: FineTuneConfiguration): this;
  /** Freeze the named vertices and all their ancestors. Calls add up. */
  setFeatureExtractor(...names: string[]): this;
  /** Make the named vertices (and everything after them) trainable again; all, when no name is given. setFeatureExtractor() comes after it. */
  unfreeze(...names: string[]): this;
  /** Give a layer another number of results. Its weights are drawn anew, and those of all layers that this changes, with `nextInit`. */
  nOutReplace(name: string, nOut: number, init?: WeightInit, nextInit?: WeightInit): this;
  /** Say how many features a layer takes, and draw its weights anew. Another number than its input has is 'shape'. */
  nInReplace(name: string, nIn: number, init?: WeightInit): this;
  /** Remove a vertex; its readers keep naming it, so a vertex has to be added under the same name. */
  removeVertexKeepConnections(name: string): this;
  /** Remove a vertex, and its name from all readers and from the outputs. */
  removeVertexAndConnections(name: string): this;
  /** Several inputs are concatenated; images are flattened for dense layers. */
  addLayer(name: string, layer: Layer, ...inputs: string[]): this;
  addVertex(name: string, vertex: Vertex, ...inputs: string[]): this;
  /** Replaces the list of inputs, in this order. A vertex that is no input becomes one of its shape; what only it needed goes. */
  setInputs(...names: string[]): this;
  /** Replaces the list of outputs, in this order. */
  setOutputs(...names: string[]): this;
  /** Names of the classes, in the order of the first output's columns. */
  setLabels(labels: readonly string[]): this;
  /** The edited copy; `reinitialized` names the parameters with new values. */
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
  /**
   * The trainable part alone, sharing parameters with the full model: its inputs are the boundary vertices, run(), export() and edits work
   * on them as they are at the time of the call, and evaluate() takes features. What needs images is 'bad-option'; fitFeaturized() trains it.
   */
  unfrozenGraph(): Model;
}
export interface FeaturizeOptions {
  /** Augmented views per image, cached beside the plain one; training then takes one of them at random in each epoch. Default: 4 with augmentation, else 0. */
  views?: number;
  /** How augmented views differ from the plain one. Views with mixup or cutmix show two images, so that their set cannot be split. */
  augmentation?: Augmentation;
  /** Seed of augmentation. Default: the model's. */
  seed?: number;
  /** How features are kept. 'f16' halves their memory. Default 'f32'. */
  dtype?: 'f32' | 'f16';
  /** Images that are run at once, where that is faster: the CPU backend runs one a worker. Does not change the result. */
  batchSize?: number;
  signal?: AbortSignal; onProgress?(p: Progress): void;
}

/** What the frozen part made of a dataset. */
export interface FeatureSet {
  /** Images. */
  readonly count: number;
  readonly labels: readonly string[];
  /** Names of the boundary vertices, and shapes of one row. */
  readonly tensors: readonly { name: string; shape: readonly number[]; dtype: 'f32' | 'f16' }[];
  /** Hash of frozen weights + boundary + preprocessing. A helper of another trunk rejects the set with 'stale-features'. */
  readonly trunkKey: string;
  /** All rows: those of the first image's views, the plain one first, then those of the second image's, and so on. */
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
/**
 * How images are varied in training; 0 and false, the defaults, switch an option off. Geometry comes first, then colour, in the order of
 * these fields, then erasing, then mixing. What lies outside of an image is its mirror image, or the mean colour where `fit` is 'pad'.
 */
export interface Augmentation {
  /** Mirror left and right, or top and bottom, in half of the views. */
  flipHorizontal?: boolean; flipVertical?: boolean;
  /** Rotation in degrees, uniform in ± this; 0 to 180. */
  rotateDegrees?: number;
  /** Scale, uniform in 1 ± this; 0 to 0.9. */
  zoom?: number;
  /** Shift of each axis as a share of that side, uniform in ± this; 0 to 1. */
  shift?: number;
  /** Smallest share of the area that a crop keeps, 0.01 to 1 (torchvision's RandomResizedCrop). */
  randomCrop?: number;
  /** As in torchvision's ColorJitter: factors uniform in 1 ± this, 0 to 1; hue: turn uniform in ± this, 0 to 0.5. */
  brightness?: number; contrast?: number; saturation?: number; hue?: number;
  /** Probability that a rectangle of 2 % to 33 % of the area becomes the mean colour; 0 to 1. */
  erase?: number;
  /** α of the Beta(α, α) from which the share of an image in a mean with another one, or the area left to it, is drawn; 0.01 to 100. */
  mixup?: number; cutmix?: number;
}

// ------------------------------------------------------------------ training

export interface FitOptions {
  /** Passes over the data. Counts the whole run: with resumeFrom, the epochs already done are part of it. Default 30. */
  epochs?: number;
  /** Images per update. Default 16. */
  batchSize?: number;
  /** Updates after which training stops, whatever `epochs` says. Counts the whole run, as `epochs`. */
  maxIterations?: number;
  /** Whether images come in another order in every epoch. Default true. */
  shuffle?: boolean;
  /** Seed of shuffling, views, dropout and of a validation share. Default: the model's; of the share 0. */
  seed?: number;
  /** Data to measure after each epoch; a number between 0 and 1 holds that share of the training data out, in whole groups. */
  validation?: Dataset | FeatureSet | number;
  /** In place of all updaters of the model and its layers. */
  updater?: Updater;
  /** Share of each target that is spread evenly over all classes, in [0, 1). Not in validation. Default 0. */
  labelSmoothing?: number;
  /** Factors of the losses of images by class, 1 where none is named; 'balanced': images / (classes · images of the class). */
  classWeights?: 'balanced' | Record<string, number>;
  /**
   * How images are varied; not with a FeatureSet. The frozen part runs once for each of `views` augmented views of an image beside the
   * plain one (default 4), and each epoch takes one view of each image at random.
   */
  augmentation?: Augmentation;
  views?: number;
  /** Frozen batch-norm always uses and keeps its stored statistics. For unfrozen ones: 'frozen' (default) or 'train'. */
  batchNorm?: 'frozen' | 'train';
  /**
   * Stops after `patience` (5) epochs of which none was better than the best by more than `minDelta` (0), or after `maxSeconds` of training.
   * Watches `monitor`: 'valLoss', or 'loss' where nothing is validated. restoreBest (true): the model keeps the parameters of the best
   * epoch, whatever ends the run but an abort.
   */
  earlyStopping?: { monitor?: 'valLoss' | 'valAccuracy' | 'loss'; patience?: number; minDelta?: number; maxSeconds?: number; restoreBest?: boolean };
  /**
   * Called after each epoch with bytes that resumeFrom accepts: weights, updater state, RNG, position, settings. Training does not wait;
   * fit() resolves after all returned promises, and rejects with their error.
   */
  onCheckpoint?(bytes: Uint8Array): void | Promise<void>;
  /**
   * Continues the run of a checkpoint, bit for bit, on the same data (else 'stale-features' or 'bad-option'). Its settings hold where these
   * options say nothing; validation and augmentation are to be given again.
   */
  resumeFrom?: Uint8Array;
  onProgress?(p: Progress): void;
  /** Stops training: fit() then resolves with what it has. */
  signal?: AbortSignal;
}
export interface Progress {
  phase: 'decode' | 'featurize' | 'train' | 'validate' | 'evaluate' | 'export';
  done: number; total: number; perSecond: number; secondsLeft?: number;
  epoch?: number; iteration?: number; loss?: number; accuracy?: number; valLoss?: number; valAccuracy?: number; learningRate?: number;
  /** At the end of an epoch: log10 of mean |update| / mean |parameter| of each trainable vertex in the last update. */
  updateRatios?: Readonly<Record<string, number>>;
}
export interface History {
  epochs: readonly { epoch: number; loss: number; accuracy: number; valLoss?: number; valAccuracy?: number; learningRate: number; seconds: number }[];
  /** Mean loss of each batch before its update, without penalties. */
  iterations: readonly { loss: number }[];
  stoppedBy: 'epochs' | 'iterations' | 'early-stopping' | 'aborted';
  /** Epoch, from 1, that is best by what early stopping watches, else by validation loss, else by training loss; 0 if none was completed. */
  bestEpoch: number;
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
