import type {
  CutPoint, Dataset, Evaluation, ExportFormat, ExportOptions, ExportResult, FeatureSet, HeatMap, History, Model, Prediction, Preprocessing,
  Tensor, TensorInfo, TransferLearning, TransferLearningHelper, VertexSummary,
} from '../api.js';
import { RegraftError } from '../errors.js';
import type { ModelRef } from '../protocol.js';
import type { ClassifierOptions } from '../wasm-module.js';
import { trunkOf } from './boundary.js';
import { StoredFeatures } from './features.js';
import type { ModelTarget } from './fit.js';
import { classifierOf, edited, exported, ran, summaryOf, type RunOptions } from './model.js';
import { badOption } from './options.js';
import { TransferLearningBuilder } from './transfer.js';

/** The trainable part of a model: the model's own parameters, seen from the boundary. */
export class TailProxy implements Model {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly vertices: readonly VertexSummary[];
  readonly labels: readonly string[] | undefined;
  readonly preprocessing: Preprocessing;
  readonly parameters: Model['parameters'];
  private readonly part: ModelRef;

  constructor(private readonly whole: Model, private readonly target: ModelTarget, boundary: readonly string[]) {
    const { model, at, info } = target;
    const trunk = trunkOf(info.vertices, at ?? boundary);
    const atBoundary = info.vertices.filter(({ name }) => boundary.includes(name));
    this.inputs = atBoundary.map(({ name, outputShape: shape }) => ({ name, shape, dtype: 'f32' }));
    this.outputs = info.outputs;
    const inputs = atBoundary.map((vertex) => ({ ...vertex, type: 'Input', inputs: [], parameters: 0, macs: 0 }));
    const behind = info.vertices.filter(({ name }) => !trunk.has(name));
    this.vertices = [...inputs, ...behind];
    [this.labels, this.preprocessing] = [info.labels, info.preprocessing];
    const sum = (of: readonly VertexSummary[]): number => of.reduce((total, { parameters }) => total + parameters, 0);
    const [total, frozen] = [sum(behind), sum(behind.filter((vertex) => vertex.frozen))];
    this.parameters = { total, trainable: total - frozen, frozen };
    this.part = { model, tail: { at } };
  }

  summary(): string {
    return summaryOf(this.target.session, this.vertices, this.parameters);
  }

  async run(inputs: Record<string, Tensor>, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    return ran(this.target.session, this.part, inputs, options);
  }

  transferLearning(): TransferLearning {
    return new TransferLearningBuilder((edits) => edited(this.target.session, this.part, edits));
  }

  async classifier(options: ClassifierOptions): Promise<Model> {
    return classifierOf(this.target.session, this.part, options);
  }

  /** Those of the whole model that lie behind the boundary; what leads up to them starts there. */
  cutPoints(): readonly CutPoint[] {
    const names = new Set(this.vertices.slice(this.inputs.length).map(({ name }) => name));
    const points = this.whole.cutPoints().filter(({ name }) => names.has(name));
    return points.map((point) => {
      const before = trunkOf(this.vertices, [point.name]);
      return { ...point, trunkMacs: this.vertices.reduce((sum, { name, macs }) => sum + (before.has(name) ? macs : 0), 0) };
    });
  }

  async evaluate(data: Dataset | FeatureSet, options: Parameters<Model['evaluate']>[1] = {}): Promise<Evaluation> {
    if (!(data instanceof StoredFeatures)) throw takesFeatures('evaluate');
    return this.whole.evaluate(data, options);
  }

  async export(format: ExportFormat, options: ExportOptions = {}): Promise<ExportResult> {
    return exported(this.target.session, this.part, format, options);
  }

  async predict(): Promise<Prediction[]> {
    throw takesFeatures('predict');
  }

  async predictAll(): Promise<Prediction[][]> {
    throw takesFeatures('predictAll');
  }

  async fit(): Promise<History> {
    throw badOption('data', 'the unfrozen part takes features: train it with fitFeaturized() of its helper');
  }

  async gradCam(): Promise<HeatMap> {
    throw takesFeatures('gradCam');
  }

  transferLearningHelper(): TransferLearningHelper {
    throw new RegraftError('bad-option', 'this is the tail of a helper already: cut the whole model elsewhere');
  }

  /** The parameters are the whole model's, which keeps them. */
  async dispose(): Promise<void> {}
}

function takesFeatures(method: string): RegraftError {
  return badOption('data', `${method}() of the unfrozen part has no images to work on, it takes features: ask the whole model`);
}
