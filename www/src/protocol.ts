// What travels between the page, the engine worker and the trunk workers.
import type {
  Augmentation, CutPoint, DeviceInfo, EngineOptions, Evaluation, ExportFormat, ExportOptions, ExportResult, FitOptions, HeatMap, History, LoadOptions,
  LoadProgress, Prediction, Preprocessing, Progress, Tensor, ZooName,
} from './api.js';
import type { Call } from './channel.js';
import type { WireError } from './errors.js';
import type { WasmBuild } from './loader.js';
import type { ClassifierOptions, Cut, Edit, FeaturesInfo, FeatureTensor, ModelInfo, ViewOptions } from './wasm-module.js';

/** First message to a worker, sent on the worker itself: the compiled module to instantiate, and the memory it is to share. */
export interface Boot { role: Role; module: WebAssembly.Module; build: WasmBuild; memory: WebAssembly.Memory | undefined }

/** What a worker is for. */
export type Role =
  /** Owns models, features, the GPU and training. `memoryBudget` in bytes. */
  | { kind: 'engine'; port: MessagePort; threads: number; memoryBudget: number; backend: NonNullable<EngineOptions['backend']> }
  /** Decodes images and runs trunks. Decoded pixels are kept up to `pixelCap` bytes. */
  | { kind: 'trunk'; port: MessagePort; pixelCap: number }
  /** Helps the engine with its calls, and listens to nobody. */
  | { kind: 'thread' };

/** What the engine worker knows of where plans run. */
export type DeviceState = Pick<DeviceInfo, 'backend' | 'reason' | 'adapter'>;
export type Adapter = NonNullable<DeviceInfo['adapter']>;

/** Raw pixels: rows of `channels` bytes, not premultiplied. */
export interface Pixels { data: Uint8Array; width: number; height: number; channels: number }

/** An image in a form that every worker can take: encoded, drawn, or as pixels. */
export type WireImage = Blob | ImageBitmap | Pixels;

/** Where the bytes of a model come from. URLs are absolute. */
export type WireSource =
  | { kind: 'url'; url: string }
  | { kind: 'files'; files: Record<string, Blob | Uint8Array> }
  | { kind: 'none' };

/** What the page knows about a model: its handle, and everything that is read without waiting. */
export interface ModelState { model: number; info: ModelInfo; reinitialized: string[]; boundary: string[]; cutPoints: CutPoint[] }

/** A model, or the part of it that `tail` leaves trainable. */
export interface ModelRef { model: number; tail?: { at: Cut } }

/** An image of a store. */
export interface Place { store: number; index: number }

/**
 * Samples `indices` of the images of a store. Of each: the position of its label, its group (-1: none) and, where any has another
 * target than one class, `targets`: samples × labels.
 */
export interface SampleRef {
  store: number; indices: Uint32Array; labels: readonly string[]; labelOf: Uint32Array; groupOf: Int32Array; targets: Float32Array | undefined;
}

/** Data to train or measure on: images, or features made before. */
export type DataRef = { kind: 'samples'; samples: SampleRef } | { kind: 'features'; features: number };

/** What the page knows about a feature set. */
export interface FeaturesState { features: number; info: FeaturesInfo }

/** How features are made. `views`: augmented ones beside the plain one; `seed`: the model's where it is undefined. */
export interface FeaturizeSettings { dtype: 'f32' | 'f16'; views: number; augmentation: Augmentation; seed: number | undefined }

/** FitOptions as they cross to the worker. */
export type FitSettings = Omit<FitOptions, 'validation' | 'augmentation' | 'views' | 'onCheckpoint' | 'resumeFrom' | 'onProgress' | 'signal'>;
/** `featurize`: how images to train on become features; `checkpoints`: whether they are wanted. */
export interface FitArgs {
  model: number; train: DataRef; validation: DataRef | undefined; featurize: FeaturizeSettings; settings: FitSettings; at: Cut;
  resumeFrom: Uint8Array | undefined; checkpoints: boolean;
}
/** What a fit reports. */
export type FitReport = { kind: 'progress'; progress: Progress } | { kind: 'checkpoint'; bytes: Uint8Array };

export interface LoadArgs {
  source: WireSource; architecture: ZooName | undefined; cache: boolean;
  options: Pick<LoadOptions, 'format' | 'labels' | 'preprocessing' | 'integrity'>;
}

/** What the engine worker offers to the page. */
export interface EngineService {
  load: Call<LoadArgs, ModelState, LoadProgress>;
  edit: Call<ModelRef & { edits: readonly Edit[] }, ModelState>;
  classifier: Call<ModelRef & { options: ClassifierOptions }, ModelState>;
  run: Call<ModelRef & { inputs: Record<string, Tensor>; outputs: readonly string[] | undefined }, Record<string, Tensor>>;
  predict: Call<{ model: number; image: WireImage; topK: number | undefined }, Prediction[]>;
  predictAll: Call<{ model: number; samples: SampleRef; topK: number | undefined }, Prediction[][], Progress>;
  fit: Call<FitArgs, History, FitReport>;
  evaluate: Call<{ model: number; data: DataRef; topN: number | undefined }, Omit<Evaluation, 'toString'> & { text: string }, Progress>;
  gradCam: Call<{ model: number; image: WireImage; label: string | undefined; at: string | undefined }, HeatMap>;
  export: Call<ModelRef & { format: ExportFormat; options: ExportOptions }, ExportResult>;
  releaseModel: Call<number, void>;

  /** Keeps an image for later; with `check`, rejects with 'bad-image' when it cannot be decoded. `same`: where it was checked before. */
  addSample: Call<{ store: number; index: number; id: string; image: WireImage; check: boolean; same: Place | undefined }, void>;
  releaseStore: Call<number, void>;

  featurize: Call<{ model: number; at: Cut; samples: SampleRef; settings: FeaturizeSettings }, FeaturesState, Progress>;
  outputFromFeatures: Call<{ model: number; at: Cut; features: number }, Record<string, Tensor>>;
  loadFeatures: Call<Uint8Array | Blob, FeaturesState>;
  /** Some images as a set of their own, under a handle the page chose. */
  selectFeatures: Call<{ features: number; images: Uint32Array; as: number }, void>;
  featureTensors: Call<number, Record<string, Tensor>>;
  saveFeatures: Call<number, Uint8Array>;
  releaseFeatures: Call<number, void>;

  /** Looks for a GPU, if there may be one; rejects with 'no-gpu' where there has to be one. */
  start: Call<{ mayHaveGpu: boolean }, DeviceState>;
  memory: Call<undefined, { wasmBytes: number; gpuBytes: number; peakBytes: number; liveTensors: number }>;
  /** A worker started for the engine died. */
  workerFailed: Call<{ worker: number; error: WireError }, void>;
}

/** What the page offers to the engine worker. Workers are started by the page, as not every browser lets workers nest. */
export interface PageService {
  startWorker: Call<{ worker: number; role: Role; memory: WebAssembly.Memory | undefined }, void>;
  /** Starts threads on the engine's memory. */
  startThreads: Call<{ threads: number; memory: WebAssembly.Memory }, void>;
  stopWorker: Call<{ worker: number }, void>;
  /** Without a cause, only what is known of the device is new. */
  deviceChanged: Call<{ device: DeviceState; cause: string | undefined }, void>;
}

/** A trunk: as regraft bytes, or in the memory that the worker shares with the engine. */
export type TrunkSource = { kind: 'bytes'; bytes: Uint8Array } | { kind: 'shared'; number: number };

/** What a trunk worker offers to the engine worker. */
export interface TrunkService {
  /** Replaces the trunk that featurize() runs. */
  setTrunk: Call<TrunkSource, void>;
  /** Rejects with 'bad-image', or tells whether there was room to keep the pixels for their first use. */
  check: Call<ImageRef, boolean>;
  pixels: Call<ImageRef, Pixels>;
  featurize: Call<ImageRef & { views: ViewsRef | undefined }, ImageFeatures>;
  /** Makes an image the input of a network, for a trunk that runs elsewhere. */
  preprocess: Call<ImageRef & { preprocessing: Preprocessing; views: ViewsRef | undefined }, NetworkInput>;
  /** Drops kept pixels whose key starts so. */
  forget: Call<string, void>;
}
/** An image and the key its decoded pixels are kept under; without a key they are not kept. */
export interface ImageRef { image: WireImage; key?: string | undefined }

/** The augmented views 1, 2, … of sample `index`, one for each of `partners`: the images they are mixed with, if they are. */
export interface ViewsRef { augmentation: Augmentation; options: ViewOptions; index: number; partners: (WireImage | undefined)[] }

/** The plain view of an image and then the others, each height × width × 3; and the size of the wasm memory that is the worker's own. */
export interface NetworkInput { pixels: Float32Array; wasmBytes: number }

/** What the trunk made of one image: all tensors one after the other, of the plain view and then of the others; and the size of the wasm memory that is the worker's own. */
export interface ImageFeatures { features: Float32Array; tensors: FeatureTensor[]; wasmBytes: number }
