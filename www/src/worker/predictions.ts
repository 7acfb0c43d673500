import type { Prediction, Tensor } from '../api.js';
import type { WasmModel } from '../wasm-module.js';
import { RegraftError } from '../errors.js';
import { infoOf } from './info.js';

/** The most probable classes of each row of the model's first output, best first; equal ones in the order of the classes. */
export function topPredictions(model: WasmModel, outputs: Record<string, Tensor>, topK: number): Prediction[][] {
  const { outputs: [output], labels } = infoOf(model);
  const tensor = output && outputs[output.name];
  if (!tensor || !(tensor.data instanceof Float32Array)) throw new RegraftError('internal', 'the model has no output of probabilities');
  const rows = tensor.shape[0] ?? 0;
  const classes = tensor.data.length / rows;
  return Array.from({ length: rows }, (_, row) => {
    const probabilities = [...tensor.data.subarray(row * classes, (row + 1) * classes) as Float32Array];
    return probabilities
      .map((probability, index) => ({ label: labels?.[index] ?? String(index), index, probability }))
      .sort((a, b) => b.probability - a.probability)
      .slice(0, topK);
  });
}
