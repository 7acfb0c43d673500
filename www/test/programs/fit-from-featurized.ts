import type { Engine, Model } from 'regraft';
import { withNewLastLayer } from './edit-last-layer.js';

/** Trains the new last layer on features alone: no photo is decoded, and no convolution is run. */
export async function fitFromFeaturized(engine: Engine, vgg16: Model, files: { train: Uint8Array; test: Uint8Array }): Promise<Model> {
  const train = await engine.loadFeatures(files.train);
  const test = await engine.loadFeatures(files.test);
  const model = await withNewLastLayer(vgg16, train.labels, 3e-5);
  const helper = model.transferLearningHelper();
  const unfrozen = helper.unfrozenGraph();
  console.log(unfrozen.summary());
  console.log(`before training\n${await unfrozen.evaluate(test)}`);
  await helper.fitFeaturized(train, { epochs: 3, batchSize: 16, validation: test, onProgress: ({ epoch, valAccuracy }) => {
    if (valAccuracy !== undefined) console.log(`epoch ${epoch}: accuracy ${valAccuracy}`);
  } });
  console.log(`after training\n${await unfrozen.evaluate(test)}`);
  return model;
}
