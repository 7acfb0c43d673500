import type {
  CutPoint, Dataset, Evaluation, ExportFormat, ExportOptions, ExportResult, FeatureSet, FitOptions, HeatMap, History, ImageInput, Model, Prediction, Preprocessing,
  Progress, Tensor, TensorInfo, TransferLearning, TransferLearningHelper, VertexSummary,
} from '../api.js';
import { toWireImage } from '../image.js';
import type { ModelRef, ModelState } from '../protocol.js';
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
    return summaryOf(this.session, this.vertices, this.parameters);
  }

  async run(inputs: Record<string, Tensor>, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    return ran(this.session, { model: this.state.model }, inputs, options);
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
    return new TransferLearningBuilder((edits) => edited(this.session, { model: this.state.model }, edits));
  }

  async classifier(options: ClassifierOptions): Promise<Model> {
    return classifierOf(this.session, { model: this.state.model }, options);
  }

  cutPoints(): readonly CutPoint[] {
    return this.state.cutPoints;
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

  async gradCam(image: ImageInput, options: { label?: string; at?: string } = {}): Promise<HeatMap> {
    const { label, at } = checkOptions(options, { label: true, at: true });
    const { image: wire, transfer } = await toWireImage(image);
    return this.session.channel.call('gradCam', { model: this.state.model, image: wire, label, at }, { transfer });
  }

  async export(format: ExportFormat, options: ExportOptions = {}): Promise<ExportResult> {
    return exported(this.session, { model: this.state.model }, format, options);
  }

  async dispose(): Promise<void> {
    await this.session.channel.call('releaseModel', this.state.model);
  }
}

export interface RunOptions { outputs?: readonly string[]; signal?: AbortSignal }

/** What a model, or a part of one, makes of tensors. */
export async function ran(session: Session, part: ModelRef, inputs: Record<string, Tensor>, options: RunOptions): Promise<Record<string, Tensor>> {
  const { outputs, signal } = checkOptions(options, { outputs: true, signal: true });
  return session.channel.call('run', { ...part, inputs, outputs }, { signal });
}

/** The printed table of layers. */
export function summaryOf(session: Session, vertices: readonly VertexSummary[], { total, trainable }: Model['parameters']): string {
  return session.ask((wasm) => wasm.printSummary(vertices, total, trainable));
}

/** A copy with recorded edits. */
export async function edited(session: Session, part: ModelRef, edits: readonly Edit[]): Promise<EditedModel> {
  return new ModelProxy(session, await session.channel.call('edit', { ...part, edits }));
}

/** A copy with a new head. */
export async function classifierOf(session: Session, part: ModelRef, options: ClassifierOptions): Promise<Model> {
  const checked = checkOptions(options, { labels: true, at: true, hidden: true, dropout: true, seed: true });
  return new ModelProxy(session, await session.channel.call('classifier', { ...part, options: plain('classifier', checked) }));
}

/** Files of a model, or of a part of one. */
export async function exported(session: Session, part: ModelRef, format: ExportFormat, options: ExportOptions): Promise<ExportResult> {
  if (format !== 'onnx' && format !== 'regraft') throw badOption('format', `'onnx' or 'regraft', not '${String(format)}'`);
  const checked = checkOptions(options, { dtype: true, includePreprocessing: true, modelCard: true });
  return session.channel.call('export', { ...part, format, options: checked });
}

/** Images that carry no label, as a dataset of one class. */
async function unlabelled(session: Session, images: Iterable<ImageInput>, signal: AbortSignal | undefined): Promise<StoredDataset> {
  const store = newStore(session);
  const added = Array.from(images, (image, index) => addImage(store, index, `image ${index}`, image, false, signal));
  await Promise.all(added);
  return new StoredDataset(store, added.map((_, index) => ({ index, label: 0, group: -1 })), [''], []);
}
