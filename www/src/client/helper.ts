import type { Dataset, FeatureSet, FeaturizeOptions, FitOptions, History, Model, Tensor, TransferLearningHelper } from '../api.js';
import { featurizeSettings } from './augmentation.js';
import { boundaryOf } from './boundary.js';
import { datasetOf, featuresOf } from './data.js';
import { fitModel, type ModelTarget } from './fit.js';
import { checkNumber, checkOptions } from './options.js';
import { StoredFeatures } from './features.js';
import { TailProxy } from './tail.js';

/** A model in two parts, cut at `at`. */
export class HelperProxy implements TransferLearningHelper {
  readonly boundary: readonly string[];

  /** `model` is kept, since a model that nobody holds is released. */
  constructor(readonly model: Model, private readonly target: ModelTarget, ownBoundary: readonly string[]) {
    const { at, info: { vertices, outputs } } = target;
    this.boundary = at ? boundaryOf(vertices, outputs.map(({ name }) => name), at) : ownBoundary;
  }

  async featurize(data: Dataset, options: FeaturizeOptions = {}): Promise<FeatureSet> {
    const { batchSize, signal, onProgress, ...making } = checkOptions(options, {
      views: true, augmentation: true, seed: true, dtype: true, batchSize: true, signal: true, onProgress: true,
    });
    checkNumber('batchSize', batchSize, 1, Infinity, 'integer');
    const settings = featurizeSettings(making);
    const { session, model, at } = this.target;
    const samples = datasetOf(session, data).ref();
    return new StoredFeatures(session, await session.channel.call('featurize', { model, at, samples, settings }, { signal, onProgress }));
  }

  async fitFeaturized(features: FeatureSet, options: FitOptions = {}): Promise<History> {
    return fitModel(this.target, featuresOf(this.target.session, features), options);
  }

  async outputFromFeaturized(features: FeatureSet): Promise<Record<string, Tensor>> {
    const { session, model, at } = this.target;
    return session.channel.call('outputFromFeatures', { model, at, features: featuresOf(session, features).handle });
  }

  unfrozenGraph(): Model {
    return new TailProxy(this.model, this.target, this.boundary);
  }
}
