import type { FineTuneConfiguration, Layer, TransferLearning, Vertex, WeightInit } from '../api.js';
import type { Edit } from '../wasm-module.js';
import { plain } from './options.js';
import type { EditedModel } from './model.js';

/** Records edits; the engine worker applies all of them at build(). */
export class TransferLearningBuilder implements TransferLearning {
  private readonly edits: Edit[] = [];

  constructor(private readonly apply: (edits: readonly Edit[]) => Promise<EditedModel>) {}

  fineTuneConfiguration(configuration: FineTuneConfiguration): this {
    return this.record({ type: 'fineTuneConfiguration', configuration });
  }

  setFeatureExtractor(...names: string[]): this {
    return this.record({ type: 'setFeatureExtractor', names });
  }

  unfreeze(...names: string[]): this {
    return this.record({ type: 'unfreeze', names });
  }

  nOutReplace(name: string, nOut: number, init?: WeightInit, nextInit?: WeightInit): this {
    return this.record({ type: 'nOutReplace', name, nOut, init, nextInit });
  }

  nInReplace(name: string, nIn: number, init?: WeightInit): this {
    return this.record({ type: 'nInReplace', name, nIn, init });
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

  addVertex(name: string, vertex: Vertex, ...inputs: string[]): this {
    return this.record({ type: 'addVertex', name, vertex, inputs });
  }

  setInputs(...names: string[]): this {
    return this.record({ type: 'setInputs', names });
  }

  setOutputs(...names: string[]): this {
    return this.record({ type: 'setOutputs', names });
  }

  setLabels(labels: readonly string[]): this {
    return this.record({ type: 'setLabels', labels });
  }

  build(): Promise<EditedModel> {
    return this.apply(this.edits);
  }

  private record(edit: Edit): this {
    this.edits.push(plain(edit.type, edit));
    return this;
  }
}
