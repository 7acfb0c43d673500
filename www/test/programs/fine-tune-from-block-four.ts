import type { Dataset, Engine, Model } from 'regraft';

/** Goes on with the file of the program before: the last block of convolutions learns too, at a low rate. */
export async function fineTuneFromBlockFour(engine: Engine, file: Uint8Array, train: Dataset, test: Dataset): Promise<Model> {
  const saved = await engine.load(file);
  const model = await saved.transferLearning()
    .fineTuneConfiguration({ updater: { type: 'sgd', learningRate: 1e-5 }, seed: 12345 })
    .unfreeze()
    .setFeatureExtractor('block4_pool')
    .build();
  await saved.dispose();
  console.log(model.summary());
  await model.fit(train, { epochs: 1, batchSize: 16 });
  console.log(`after training\n${await model.evaluate(test)}`);
  return model;
}
