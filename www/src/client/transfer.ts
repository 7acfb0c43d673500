import type { FineTuneConfiguration, Layer, TransferLearning } from '../api.js';
import type { Edit } from '../wasm-module.js';
import type { EditedModel, ModelProxy } from './model.js';

/** Records edits; the engine worker applies all of them at build(). */
export class TransferLearningBuilder implements TransferLearning {
  private readonly edits: Edit[] = [];

  constructor(private readonly model: ModelProxy) {}

  fineTuneConfiguration(configuration: FineTuneConfiguration): this {
    return this.record({ type: 'fineTuneConfiguration', configuration });
  }

  setFeatureExtractor(...names: string[]): this {
    return this.record({ type: 'setFeatureExtractor', names });
  }

  removeVertexKeepConnections(name: string): this {
    return this.record({ type: 'removeVertexKeepConnections', name });
  }

  removeVertexAndConnections(name: string): this {
    return this.record({ type: 'removeVertexAndConnections', name });
  }

  addLayer(name: string, layer: Layer, ...inputs: string[]): this {
    return this.record({ type: 'addLayer', name, layer, inputs });
  }

  setOutputs(...names: string[]): this {
    return this.record({ type: 'setOutputs', names });
  }

  setLabels(labels: readonly string[]): this {
    return this.record({ type: 'setLabels', labels: [...labels] });
  }

  build(): Promise<EditedModel> {
    return this.model.edited(this.edits);
  }

  private record(edit: Edit): this {
    this.edits.push(edit);
    return this;
  }
}
