import type { Dataset, FeatureSet } from '../api.js';
import { RegraftError } from '../errors.js';
import type { DataRef } from '../protocol.js';
import { StoredDataset } from './dataset.js';
import { StoredFeatures } from './features.js';
import { badOption } from './options.js';
import type { Session } from './session.js';

/** The dataset behind the interface; refuses one of another engine. */
export function datasetOf(session: Session, data: Dataset): StoredDataset {
  if (!(data instanceof StoredDataset)) throw badOption('data', 'a dataset made by engine.dataset()');
  return ownedBy(session, data, data.store.session);
}

/** The feature set behind the interface; refuses one of another engine. */
export function featuresOf(session: Session, data: FeatureSet): StoredFeatures {
  if (!(data instanceof StoredFeatures)) throw badOption('features', 'a feature set made by featurize() or engine.loadFeatures()');
  return ownedBy(session, data, data.session);
}

/** Either, as the worker knows it. */
export function dataRef(session: Session, data: Dataset | FeatureSet): DataRef {
  return data instanceof StoredFeatures
    ? { kind: 'features', features: featuresOf(session, data).handle }
    : { kind: 'samples', samples: datasetOf(session, data as Dataset).ref() };
}

function ownedBy<T>(session: Session, data: T, owner: Session): T {
  if (session !== owner) throw new RegraftError('bad-option', 'data and model belong to two different engines');
  return data;
}
