import type { Dataset, Model } from 'regraft';

/** VGG16 as it is, with a new last layer for other classes. */
export function withNewLastLayer(vgg16: Model, labels: readonly string[], learningRate: number): Promise<Model> {
  return vgg16.transferLearning()
    .fineTuneConfiguration({ updater: { type: 'nesterovs', learningRate }, seed: 12345 })
    .setFeatureExtractor('dropout2')
    .removeVertexKeepConnections('predictions')
    .addLayer('predictions', {
      type: 'output', nOut: labels.length, loss: 'negativeloglikelihood',
      weightInit: { distribution: 'normal', mean: 0, std: 0.2 * (2 / (4096 + labels.length)) },
    }, 'dropout2')
    .setLabels(labels)
    .build();
}

export async function editLastLayer(vgg16: Model, train: Dataset, test: Dataset): Promise<Model> {
  const model = await withNewLastLayer(vgg16, train.labels, 5e-5);
  console.log(model.summary());
  console.log(`before training\n${await model.evaluate(test)}`);
  await model.fit(train, { epochs: 1, batchSize: 16 });
  console.log(`after training\n${await model.evaluate(test)}`);
  return model;
}
