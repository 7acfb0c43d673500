import type {
  Dataset, Evaluation, ExportFormat, ExportOptions, ExportResult, FeatureSet, FitOptions, History, ImageInput, Model, Prediction, Preprocessing,
  Progress, Tensor, TensorInfo, TransferLearning, TransferLearningHelper, VertexSummary,
} from '../api.js';
import { toWireImage } from '../image.js';
import type { ModelState } from '../protocol.js';
import type { ClassifierOptions, Edit } from '../wasm-module.js';
import { dataRef, datasetOf } from './data.js';
import { StoredDataset, addImage, newStore } from './dataset.js';
import { fitModel } from './fit.js';
import { HelperProxy } from './helper.js';
import { badOption, checkNumber, checkOptions, plain } from './options.js';
import type { Session } from './session.js';
import { TransferLearningBuilder } from './transfer.js';

/** What build() gives. */
export type EditedModel = Model & { readonly reinitialized: readonly string[] };

/** A model in the engine worker. */
export class ModelProxy implements EditedModel {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly vertices: readonly VertexSummary[];
  readonly labels: readonly string[] | undefined;
  readonly preprocessing: Preprocessing;
  readonly parameters: Model['parameters'];
  readonly reinitialized: readonly string[];

  constructor(private readonly session: Session, private readonly state: ModelState) {
    const { info, model, reinitialized } = state;
    this.inputs = info.inputs;
    this.outputs = info.outputs;
    this.vertices = info.vertices;
    this.labels = info.labels;
    this.preprocessing = info.preprocessing;
    this.parameters = info.parameters;
    this.reinitialized = reinitialized;
    session.watch(this, 'releaseModel', model);
  }

  summary(): string {
    return this.state.summary;
  }

  async run(inputs: Record<string, Tensor>, options: { outputs?: readonly string[]; signal?: AbortSignal } = {}): Promise<Record<string, Tensor>> {
    const { outputs, signal } = checkOptions(options, { outputs: true, signal: true });
    return this.session.channel.call('run', { model: this.state.model, inputs, outputs }, { signal });
  }

  async predict(image: ImageInput, options: { topK?: number; signal?: AbortSignal } = {}): Promise<Prediction[]> {
    const { topK, signal } = checkOptions(options, { topK: true, signal: true });
    checkNumber('topK', topK, 1, Infinity, 'integer');
    const { image: wire, transfer } = await toWireImage(image);
    return this.session.channel.call('predict', { model: this.state.model, image: wire, topK }, { signal, transfer });
  }

  async predictAll(
    images: Dataset | Iterable<ImageInput>, options: { topK?: number; signal?: AbortSignal; onProgress?(p: Progress): void } = {},
  ): Promise<Prediction[][]> {
    const { topK, signal, onProgress } = checkOptions(options, { topK: true, signal: true, onProgress: true });
    checkNumber('topK', topK, 1, Infinity, 'integer');
    const { session, state: { model } } = this;
    const data = Symbol.iterator in images ? await unlabelled(session, images, signal) : datasetOf(session, images);
    if (data.count === 0) return [];
    return session.channel.call('predictAll', { model, samples: data.ref(), topK }, { signal, onProgress });
  }

  transferLearning(): TransferLearning {
    return new TransferLearningBuilder(this);
  }

  async classifier(options: ClassifierOptions): Promise<Model> {
    const checked = checkOptions(options, { labels: true, at: true, hidden: true, dropout: true, seed: true });
    return new ModelProxy(this.session, await this.session.channel.call('classifier', { model: this.state.model, options: plain('classifier', checked) }));
  }

  /** A copy with recorded edits. */
  async edited(edits: readonly Edit[]): Promise<EditedModel> {
    return new ModelProxy(this.session, await this.session.channel.call('edit', { model: this.state.model, edits }));
  }

  transferLearningHelper(at?: readonly string[]): TransferLearningHelper {
    const { session, state: { model, info, boundary } } = this;
    return new HelperProxy(this, { session, model, info, at: at && [...at] }, boundary);
  }

  async fit(train: Dataset, options: FitOptions = {}): Promise<History> {
    const { session, state: { model, info } } = this;
    return fitModel({ session, model, info, at: undefined }, datasetOf(session, train), options);
  }

  async evaluate(
    data: Dataset | FeatureSet, options: { topN?: number; signal?: AbortSignal; onProgress?(p: Progress): void } = {},
  ): Promise<Evaluation> {
    const { topN, signal, onProgress } = checkOptions(options, { topN: true, signal: true, onProgress: true });
    checkNumber('topN', topN, 1, Infinity, 'integer');
    const { session, state: { model } } = this;
    const { text, ...numbers } = await session.channel.call('evaluate', { model, data: dataRef(session, data), topN }, { signal, onProgress });
    return { ...numbers, toString: () => text };
  }

  async export(format: ExportFormat, options: ExportOptions = {}): Promise<ExportResult> {
    if (format !== 'onnx' && format !== 'regraft') throw badOption('format', `'onnx' or 'regraft', not '${String(format)}'`);
    const checked = checkOptions(options, { dtype: true, includePreprocessing: true, modelCard: true });
    return this.session.channel.call('export', { model: this.state.model, format, options: checked });
  }

  async dispose(): Promise<void> {
    await this.session.channel.call('releaseModel', this.state.model);
  }
}

/** Images that carry no label, as a dataset of one class. */
async function unlabelled(session: Session, images: Iterable<ImageInput>, signal: AbortSignal | undefined): Promise<StoredDataset> {
  const store = newStore(session);
  const added = Array.from(images, (image, index) => addImage(store, index, `image ${index}`, image, false, signal));
  await Promise.all(added);
  return new StoredDataset(store, added.map((_, index) => ({ index, label: 0, group: -1 })), [''], []);
}
