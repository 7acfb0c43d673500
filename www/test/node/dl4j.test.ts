// The programs of docs/dl4j-examples.md: the page shows them as they are, and they do what they promise, here on a small network.
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { after, before, test, type TestContext } from 'node:test';
import { createEngine, type Dataset, type Engine, type Model, type Sample, type Tensor } from 'regraft';
import { editAtBottleneck } from '../programs/edit-at-bottleneck.js';
import { editLastLayer, withNewLastLayer } from '../programs/edit-last-layer.js';
import { featurizedPreSave } from '../programs/featurized-pre-save.js';
import { fineTuneFromBlockFour } from '../programs/fine-tune-from-block-four.js';
import { fitFromFeaturized } from '../programs/fit-from-featurized.js';
import { flowers } from '../programs/flowers.js';
import { blocks, picture } from './onnx.js';

const SEED = 41;
const SIZE = 32;
const LABELS = ['daisy', 'dandelion', 'rose', 'sunflower', 'tulip'];

/** A small VGG16: five blocks of convolutions, then its dense layers and dropouts under its names. */
async function smallVgg16(engine: Engine): Promise<Model> {
  const convolutions = await engine.load(blocks(SIZE, SEED, 5));
  return convolutions.transferLearning()
    .fineTuneConfiguration({ activation: 'relu', weightInit: 'relu', seed: SEED })
    .addLayer('fc1', { type: 'dense', nOut: 24 }, 'block5_pool').addLayer('dropout1', { type: 'dropout', dropout: 0.5 }, 'fc1')
    .addLayer('fc2', { type: 'dense', nOut: 16 }, 'dropout1').addLayer('dropout2', { type: 'dropout', dropout: 0.5 }, 'fc2')
    .addLayer('predictions', { type: 'output', nOut: 10, loss: 'negativeloglikelihood', activation: 'softmax' }, 'dropout2')
    .setOutputs('predictions').build();
}

/** Photos of a class have a tint of their own. One class has more than the others. */
function* photos(): Generator<Sample> {
  for (let at = 0; at < 54; at++) {
    const label = at % LABELS.length;
    if (at >= 50 && label > 0) continue;
    const { data, ...size } = picture(SIZE, at + 1);
    yield { image: { data: data.map((x, i) => (i % 3 === label % 3 ? x / 2 + 40 * label : x / 2)), ...size }, label: LABELS[label]!, id: `${at}` };
  }
}

let engine: Engine;
let vgg16: Model;
let train: Dataset;
let rest: Dataset;
before(async () => {
  engine = await createEngine({ threads: 2 });
  vgg16 = await smallVgg16(engine);
  ({ train, test: rest } = await flowers(engine, photos()));
});
after(() => engine.dispose());

/** What the programs print, kept from the report of the tests. */
function printed(t: TestContext): string[] {
  const lines: string[] = [];
  t.mock.method(console, 'log', (text: string) => lines.push(text));
  return lines;
}

const input = (): Record<string, Tensor> => (
  { input: { dtype: 'f32', shape: [1, 3, SIZE, SIZE], data: Float32Array.from({ length: 3 * SIZE * SIZE }, (_, at) => at % 7 / 7) } });

/** Values of vertices on one input. */
async function values(model: Model, ...names: string[]): Promise<Record<string, Tensor>> {
  return model.run(input(), { outputs: names });
}

test('the page shows the programs as they are', async () => {
  const page = await readFile('../docs/dl4j-examples.md', 'utf8');
  const shown = new Map([...page.matchAll(/^<!-- (\S+) -->\n\n```ts\n([^]*?)```$/gm)].map(([, name, code]) => [name!, code!]));
  const files = (await readdir('test/programs')).sort();
  assert.deepEqual([...shown.keys()].sort(), files);
  for (const file of files) assert.equal(shown.get(file), await readFile(`test/programs/${file}`, 'utf8'), file);
});

test('the photos are balanced and split', () => {
  assert.deepEqual(train.counts, Object.fromEntries(LABELS.map((label) => [label, 8])));
  assert.deepEqual(rest.counts, Object.fromEntries(LABELS.map((label) => [label, 2])));
});

test('a new last layer: only that learns', async (t) => {
  const lines = printed(t);
  const model = await editLastLayer(vgg16, train, rest);
  assert.equal(model.parameters.trainable, 16 * 5 + 5);
  assert.deepEqual(model.labels, LABELS);
  assert.deepEqual(await values(model, 'fc2'), await values(vgg16, 'fc2'));
  const untrained = await withNewLastLayer(vgg16, LABELS, 5e-5);
  assert.notDeepEqual(await values(model, 'predictions'), await values(untrained, 'predictions'));
  assert.match(lines.join('\n'), /before training[^]*accuracy[^]*after training/i);
});

test('at the bottleneck, then from block four: the file keeps what is frozen, and what is taken off learns', async (t) => {
  const lines = printed(t);
  const file = await editAtBottleneck(vgg16, train, rest);
  const saved = await engine.load(file);
  const shape = (name: string): unknown => saved.vertices.find((vertex) => vertex.name === name)?.outputShape;
  assert.deepEqual([shape('fc1'), shape('fc2'), shape('fc3'), shape('newpredictions')], [[null, 24], [null, 1024], [null, 256], [null, 5]]);
  assert.deepEqual(saved.outputs.map(({ name }) => name), ['newpredictions']);
  assert.equal(saved.vertices.find(({ name }) => name === 'block5_pool')?.frozen, true);
  assert.deepEqual(await values(saved, 'block5_pool'), await values(vgg16, 'block5_pool'));
  assert.match(lines.join('\n'), /drawn anew: .*fc2/);
  assert.doesNotMatch(lines.join('\n'), /drawn anew: .*fc1/);

  const model = await fineTuneFromBlockFour(engine, file, train, rest);
  assert.deepEqual(['block4_pool', 'block5_conv1', 'fc1'].map((name) => model.vertices.find((vertex) => vertex.name === name)?.frozen), [true, false, false]);
  const [tuned, before] = [await values(model, 'block4_pool', 'block5_pool'), await values(saved, 'block4_pool', 'block5_pool')];
  assert.deepEqual(tuned['block4_pool'], before['block4_pool']);
  assert.notDeepEqual(tuned['block5_pool'], before['block5_pool'], 'block 5 learns');
});

test('features are saved, and training on the file is training on the photos', async (t) => {
  const lines = printed(t);
  const files = await featurizedPreSave(vgg16, train, rest);
  const model = await fitFromFeaturized(engine, vgg16, files);
  assert.equal(lines.filter((line) => line.startsWith('epoch ')).length, 3);
  const same = await withNewLastLayer(vgg16, LABELS, 3e-5);
  await same.fit(train, { epochs: 3, batchSize: 16 });
  assert.deepEqual(await values(model, 'predictions'), await values(same, 'predictions'), 'bit for bit');
  assert.equal(String(await model.evaluate(await engine.loadFeatures(files.test))), String(await model.evaluate(rest)));
  const other = await vgg16.transferLearning().nOutReplace('fc1', 20).build();
  await assert.rejects(fitFromFeaturized(engine, other, files), { code: 'stale-features' });
});
