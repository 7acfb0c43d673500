import type { Dataset, Model } from 'regraft';

/** New dense layers on the last feature maps; the result as the bytes of a file. */
export async function editAtBottleneck(vgg16: Model, train: Dataset, test: Dataset): Promise<Uint8Array> {
  const model = await vgg16.transferLearning()
    .fineTuneConfiguration({
      activation: 'leakyrelu', weightInit: 'relu', updater: { type: 'nesterovs', learningRate: 5e-5 }, dropout: 0.5, seed: 12345,
    })
    .setFeatureExtractor('block5_pool')
    .nOutReplace('fc2', 1024, 'xavier')
    .removeVertexAndConnections('predictions')
    .addLayer('fc3', { type: 'dense', nOut: 256, activation: 'tanh', weightInit: 'xavier' }, 'dropout2')
    .addLayer('newpredictions', {
      type: 'output', nOut: train.labels.length, loss: 'negativeloglikelihood', activation: 'softmax', weightInit: 'xavier',
    }, 'fc3')
    .setOutputs('newpredictions')
    .setLabels(train.labels)
    .build();
  console.log(model.summary());
  console.log(`drawn anew: ${model.reinitialized.join(', ')}`);
  await model.fit(train, { epochs: 1, batchSize: 16 });
  console.log(`after training\n${await model.evaluate(test)}`);
  const { files } = await model.export('regraft');
  await model.dispose();
  return files['model.regraft.safetensors']!;
}
