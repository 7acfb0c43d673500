// The two parts of a model, its cut points and heat maps, through the package as built, on a small network.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createEngine, type Dataset, type Engine, type Model } from 'regraft';
import { picture, vgg } from './onnx.js';

const SEED = 29;
const SIZE = 16;
const LABELS = ['a', 'b', 'c'];

let engine: Engine;
let network: Model;
let data: Dataset;
before(async () => {
  engine = await createEngine({ threads: 2 });
  network = await engine.load(vgg(SIZE, LABELS.length, SEED), { labels: LABELS });
  data = await engine.dataset(Array.from({ length: 12 }, (_, at) => ({ image: picture(SIZE, at + 1), label: LABELS[at % 3]! })));
});
after(() => engine.dispose());

test('the unfrozen graph is the rest of the model, and shares its parameters', async () => {
  const model = await network.classifier({ labels: LABELS, at: 'block2_pool', hidden: [5], seed: SEED });
  const helper = model.transferLearningHelper();
  const features = await helper.featurize(data);
  const tail = helper.unfrozenGraph();
  assert.deepEqual(tail.inputs.map(({ name }) => name), helper.boundary);
  assert.deepEqual(tail.inputs.map(({ shape }) => shape.slice(1)), features.tensors.map(({ shape }) => shape));
  assert.deepEqual(tail.outputs, model.outputs);
  assert.deepEqual([tail.parameters.total, tail.parameters.frozen], [model.parameters.trainable, 0]);
  assert.match(tail.summary(), new RegExp(`^${helper.boundary[0]} +Input`, 'm'));
  assert.ok(!tail.summary().includes('block1_pool'));

  const inputs = await features.toTensors();
  const check = async (): Promise<void> => assert.deepEqual(await tail.run(inputs), await helper.outputFromFeaturized(features));
  await check();
  const before = await tail.evaluate(features);
  await helper.fitFeaturized(features, { epochs: 3 });
  await check();
  const after = await tail.evaluate(features);
  assert.notEqual(after.loss, before.loss);
  assert.equal(String(after), String(await model.evaluate(features)));

  const again = await engine.load({ files: (await tail.export('onnx')).files });
  assert.deepEqual(again.inputs.map(({ name, shape }) => [name, shape.slice(1)]), tail.inputs.map(({ name, shape }) => [name, shape.slice(1)]));
  const wider = await tail.transferLearning().nOutReplace('hidden1', 7).build();
  assert.deepEqual(wider.vertices.find(({ name }) => name === 'hidden1')?.outputShape, [null, 7]);
  for (const call of [() => tail.fit(data), () => tail.predict(picture(SIZE, 1)), () => tail.evaluate(data), () => tail.gradCam(picture(SIZE, 1))]) {
    await assert.rejects(call, { code: 'bad-option' });
  }
  await tail.dispose();
  await check();
});

test('several tensors cross the boundary in one order', async () => {
  const model = await network.transferLearning().removeVertexAndConnections('predictions').removeVertexAndConnections('predictions/dense')
    .setFeatureExtractor('fc2').addLayer('mine', { type: 'output', nOut: 3, loss: 'mcxent' }, 'fc1', 'fc2').setOutputs('mine').build();
  const helper = model.transferLearningHelper();
  assert.deepEqual(helper.boundary, ['fc1', 'fc2']);
  const features = await helper.featurize(data, { dtype: 'f16' });
  assert.deepEqual(features.tensors, [{ name: 'fc1', shape: [12], dtype: 'f16' }, { name: 'fc2', shape: [8], dtype: 'f16' }]);
  const loaded = await engine.loadFeatures(await features.save());
  assert.deepEqual(await loaded.toTensors(), await features.toTensors());
  const { epochs } = await helper.fitFeaturized(loaded, { epochs: 20 });
  assert.ok(epochs.at(-1)!.loss < epochs[0]!.loss);
  assert.equal((await helper.unfrozenGraph().evaluate(features)).count, data.count);
});

test('features and then training is training, bit for bit', async () => {
  const copy = (): Promise<Model> => network.classifier({ labels: LABELS, at: 'fc1', dropout: 0.3, seed: SEED });
  const [one, two] = [await copy(), await copy()];
  const whole = await one.fit(data, { epochs: 4, batchSize: 5, seed: SEED });
  const helper = two.transferLearningHelper();
  const parts = await helper.fitFeaturized(await helper.featurize(data), { epochs: 4, batchSize: 5, seed: SEED });
  assert.deepEqual(parts.iterations, whole.iterations);
  assert.deepEqual(await two.predictAll(data), await one.predictAll(data));
});

test('cut points tell what a cut costs', async () => {
  const points = network.cutPoints();
  assert.deepEqual(points.map(({ name }) => name).filter((name) => !name.includes('/')), [
    'block1_conv1', 'block1_pool', 'block2_conv1', 'block2_pool', 'flatten', 'fc1', 'fc2',
  ]);
  const fc1 = points.find(({ name }) => name === 'fc1')!;
  assert.deepEqual([fc1.featureShape, fc1.featureBytesPerImage, fc1.headParameters], [[12], 48, 12 * 8 + 8 + 8 * 3 + 3]);
  for (const { name } of points) assert.deepEqual(network.transferLearningHelper([name]).boundary, [name]);
  const tail = network.transferLearningHelper(['block2_pool']).unfrozenGraph();
  const [first] = tail.cutPoints();
  assert.deepEqual([first?.name, first?.trunkMacs], ['flatten', 0]);
});

test('a heat map has the size of the network\'s images', async () => {
  const { width, height, data: heat } = await network.gradCam(picture(SIZE, 3), { label: 'b' });
  assert.deepEqual([width, height, heat.length], [SIZE, SIZE, SIZE * SIZE]);
  assert.ok(heat.every((x) => x >= 0 && x <= 1));
  const other = await network.gradCam(picture(SIZE, 3), { label: 'c', at: 'block1_conv1' });
  assert.notDeepEqual(other.data, heat);
  await assert.rejects(network.gradCam(picture(SIZE, 3), { label: 'z' }), { code: 'bad-option' });
  await assert.rejects(network.gradCam(picture(SIZE, 3), { at: 'fc7' }), { code: 'unknown-vertex' });
  await assert.rejects(network.gradCam(picture(SIZE, 3), { at: 'fc1' }), { code: 'conflict', vertex: 'fc1' });
});
