import type { Dataset, FeatureSet, FitOptions, History } from '../api.js';
import type { FitReport } from '../protocol.js';
import type { Cut, ModelInfo } from '../wasm-module.js';
import { featurizeSettings } from './augmentation.js';
import { dataRef } from './data.js';
import { StoredDataset } from './dataset.js';
import { StoredFeatures } from './features.js';
import { badOption, checkOptions, plain } from './options.js';
import type { Session } from './session.js';

/** A model in the engine worker, and where it is cut. */
export interface ModelTarget { session: Session; model: number; info: ModelInfo; at: Cut }

type Data = StoredDataset | StoredFeatures;

/** Trains a model on images or on features. */
export async function fitModel({ session, model, at }: ModelTarget, data: Data, options: FitOptions): Promise<History> {
  const { validation, augmentation, views, onCheckpoint, resumeFrom, onProgress, signal, ...settings } = checkOptions(options, {
    epochs: true, batchSize: true, maxIterations: true, shuffle: true, seed: true, validation: true, updater: true, labelSmoothing: true,
    classWeights: true, augmentation: true, views: true, batchNorm: true, earlyStopping: true, onCheckpoint: true, resumeFrom: true,
    onProgress: true, signal: true,
  });
  if ((augmentation ?? views) !== undefined && data instanceof StoredFeatures) {
    throw badOption('augmentation', 'features do not change; give it to featurize()');
  }
  if (resumeFrom !== undefined && !(resumeFrom instanceof Uint8Array)) throw badOption('resumeFrom', 'the bytes that onCheckpoint got');
  checkClasses(settings.classWeights, data.labels);
  const featurize = featurizeSettings({ augmentation, views, seed: settings.seed });
  const taken: Promise<void>[] = [];
  const onReport = (report: FitReport): void => {
    if (report.kind === 'progress') {
      onProgress?.(report.progress);
      return;
    }
    const done = (async () => onCheckpoint?.(report.bytes))();
    done.catch(() => undefined); // Awaited at the end, or left behind by a failure before.
    taken.push(done);
  };
  const held = typeof validation === 'number' ? holdOut(data, validation, settings.seed) : { train: data, validation, parts: [] };
  try {
    const history = await session.channel.call('fit', {
      model, at, settings: plain('fit', settings), featurize, resumeFrom, checkpoints: onCheckpoint !== undefined,
      train: dataRef(session, held.train),
      validation: held.validation && dataRef(session, held.validation),
    }, { signal, onProgress: onReport, resolvesOnAbort: true });
    await Promise.all(taken);
    return history;
  } finally {
    await Promise.all(held.parts.map((part) => part.dispose()));
  }
}

/** Refuses weights of classes that the data does not have: they would weigh nothing. */
function checkClasses(weights: FitOptions['classWeights'], labels: readonly string[]): void {
  if (typeof weights !== 'object' || weights === null) return;
  const foreign = Object.keys(weights).find((label) => !labels.includes(label));
  if (foreign !== undefined) throw badOption('classWeights', `no class is called '${foreign}'; there are ${labels.join(', ')}`);
}

interface Held { train: Dataset | FeatureSet; validation: Dataset | FeatureSet; parts: readonly FeatureSet[] }

/** Splits a share of the data off; `parts` are to be disposed of afterwards. */
function holdOut(data: Data, share: number, seed: number | undefined): Held {
  if (!(share > 0 && share < 1)) throw badOption('validation', `a share between 0 and 1, not ${share}`);
  const options = seed === undefined ? {} : { seed };
  if (data instanceof StoredDataset) {
    const { train, test } = data.split(1 - share, options);
    return { train, validation: test, parts: [] };
  }
  const [train, validation] = data.split(1 - share, options);
  return { train, validation, parts: [train, validation] };
}
