import { RegraftError } from '../errors.js';
import type { SampleRef } from '../protocol.js';
import type { WasmFeatures, WasmModel } from '../wasm-module.js';
import { infoOf } from './info.js';

/** The samples with the model's list of labels in place of their own, where that has all of theirs: classes are matched by name. */
export function withLabelsOf(model: WasmModel, samples: SampleRef): SampleRef {
  const { labels } = infoOf(model);
  const positions = samples.labels.map((label) => labels?.indexOf(label) ?? -1);
  if (!labels || positions.includes(-1)) return samples;
  const { indices, labelOf, targets } = samples;
  const moved = targets && new Float32Array(indices.length * labels.length);
  if (moved) targets.forEach((entry, at) => {
    const row = Math.floor(at / positions.length);
    moved[row * labels.length + positions[at % positions.length]!] = entry;
  });
  return { ...samples, labels, labelOf: labelOf.map((label) => positions[label]!), targets: moved };
}

/** The target of a sample: one entry for each label. */
export function targetOf({ labels, labelOf, targets }: SampleRef, row: number): Float32Array {
  if (targets) return targets.subarray(row * labels.length, (row + 1) * labels.length);
  const target = new Float32Array(labels.length);
  target[labelOf[row]!] = 1;
  return target;
}

/** The same, only where both have the same labels. */
export function inOrderOf(model: WasmModel, samples: SampleRef): SampleRef {
  return infoOf(model).labels?.length === samples.labels.length ? withLabelsOf(model, samples) : samples;
}

/** Refuses features whose classes are not the model's, in its order: the numbers would fit and the names would not. */
export function checkLabels(model: WasmModel, features: WasmFeatures): void {
  const expected = infoOf(model).labels;
  const { labels } = infoOf(features);
  if (expected && (labels.length !== expected.length || labels.some((label, at) => label !== expected[at]))) {
    throw new RegraftError('bad-option', `option 'labels': the data has [${labels.join(', ')}], the model [${expected.join(', ')}]`);
  }
}
