import type { Augmentation } from '../api.js';
import type { FeaturizeSettings } from '../protocol.js';
import { badOption, checkNumber, plain } from './options.js';

/** Augmented views of an image where the caller asks for augmentation and not for a number. */
const VIEWS = 4;

interface Options { views?: number; augmentation?: Augmentation; seed?: number; dtype?: 'f32' | 'f16' }

/** How features are to be made. */
export function featurizeSettings({ views, augmentation, seed, dtype = 'f32' }: Options): FeaturizeSettings {
  if (dtype !== 'f32' && dtype !== 'f16') throw badOption('dtype', "'f32' or 'f16'");
  checkNumber('views', views, 0, 1000, 'integer');
  checkNumber('seed', seed, 0, Number.MAX_SAFE_INTEGER, 'integer');
  if (views && !augmentation) throw badOption('views', "views differ by 'augmentation', which is not given");
  return { dtype, views: augmentation ? views ?? VIEWS : 0, augmentation: plain('augmentation', augmentation ?? {}), seed };
}
