import { RegraftError } from '../errors.js';
import type { SampleRef } from '../protocol.js';
import type { WasmFeatures, WasmModel } from '../wasm-module.js';

/** The samples with the model's list of labels in place of their own, where that has all of theirs: classes are matched by name. */
export function withLabelsOf(model: WasmModel, samples: SampleRef): SampleRef {
  const { labels } = model.info();
  const positions = samples.labels.map((label) => labels?.indexOf(label) ?? -1);
  if (!labels || positions.includes(-1)) return samples;
  return { ...samples, labels, labelOf: samples.labelOf.map((label) => positions[label]!) };
}

/** The same, only where both have the same labels. */
export function inOrderOf(model: WasmModel, samples: SampleRef): SampleRef {
  return model.info().labels?.length === samples.labels.length ? withLabelsOf(model, samples) : samples;
}

/** Refuses features whose classes are not the model's, in its order: the numbers would fit and the names would not. */
export function checkLabels(model: WasmModel, features: WasmFeatures): void {
  const expected = model.info().labels;
  const { labels } = features.info();
  if (expected && (labels.length !== expected.length || labels.some((label, at) => label !== expected[at]))) {
    throw new RegraftError('bad-option', `option 'labels': the data has [${labels.join(', ')}], the model [${expected.join(', ')}]`);
  }
}
