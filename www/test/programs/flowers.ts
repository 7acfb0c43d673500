import type { Dataset, Engine, Sample } from 'regraft';

/** The same number of photos of each class; four of five train, the others test. */
export async function flowers(engine: Engine, photos: Iterable<Sample> | AsyncIterable<Sample>): Promise<{ train: Dataset; test: Dataset }> {
  const all = await engine.dataset(photos);
  return all.balanced({ seed: 13 }).split(0.8, { seed: 13 });
}
