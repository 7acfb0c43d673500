// Training through the package as built, on a small network: every option of fit() reaches the engine, and comes back as it is promised.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RegraftError, createEngine, type Dataset, type Engine, type FeatureSet, type FitOptions, type History, type Model, type Progress } from 'regraft';
import { picture, vgg } from './onnx.js';

const SEED = 19;
const SIZE = 16;
const LABELS = ['a', 'b', 'c'];

let engine: Engine;
let base: Model;
let data: Dataset;
let features: FeatureSet;
before(async () => {
  engine = await createEngine({ threads: 2 });
  const network = await engine.load(vgg(SIZE, LABELS.length, SEED), { labels: LABELS });
  base = await network.classifier({ labels: LABELS, at: 'fc1', hidden: [6], dropout: 0.25, seed: SEED });
  // The first class is twice as frequent as the others.
  data = await engine.dataset(Array.from({ length: 24 }, (_, at) => ({ image: picture(SIZE, at + 1), label: LABELS[Math.max(0, at % 4 - 1)]! })));
  features = await base.transferLearningHelper().featurize(data);
});
after(() => engine.dispose());

/** Trains a copy of the model. */
async function trained(options: FitOptions): Promise<{ model: Model; history: History }> {
  const model = await base.transferLearning().build();
  return { model, history: await model.transferLearningHelper().fitFeaturized(features, { batchSize: 5, seed: SEED, ...options }) };
}

async function weights(model: Model): Promise<Uint8Array> {
  const bytes = (await model.export('regraft')).files['model.regraft.safetensors']!;
  const header = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return bytes.slice(8 + header);
}

/** Losses of a run, which the option changes or not. */
async function losses(options: FitOptions): Promise<number[]> {
  return (await trained({ epochs: 3, ...options })).history.iterations.map(({ loss }) => loss);
}

test('a run that is continued from a checkpoint is the run that was not interrupted, bit for bit', async () => {
  const options: FitOptions = { epochs: 6, validation: features, updater: { type: 'adam', learningRate: { type: 'cosine', initial: 0.02, length: 30 } } };
  const checkpoints: Uint8Array[] = [];
  const whole = await trained({ ...options, onCheckpoint: async (bytes) => void checkpoints.push(bytes) });
  assert.equal(checkpoints.length, 6);
  const { model, history } = await trained({ validation: features, resumeFrom: checkpoints[2]! });
  assert.deepEqual(history.epochs.map(({ seconds: _, ...epoch }) => epoch), whole.history.epochs.map(({ seconds: _, ...epoch }) => epoch));
  assert.deepEqual(history.iterations, whole.history.iterations);
  assert.deepEqual(await weights(model), await weights(whole.model));
  const longer = await trained({ epochs: 8, validation: features, resumeFrom: checkpoints[5]! });
  assert.deepEqual(longer.history.iterations.slice(0, 30), whole.history.iterations);
  assert.equal(longer.history.epochs.length, 8);

  const damaged = checkpoints[2]!.slice(0, -1);
  await assert.rejects(trained({ resumeFrom: damaged }), { code: 'format' });
  const other = await base.transferLearningHelper().featurize(await engine.dataset([{ image: picture(SIZE, 1), label: 'a' }], { labels: LABELS }));
  await assert.rejects(base.transferLearningHelper().fitFeaturized(other, { resumeFrom: checkpoints[2]! }), { code: 'bad-option', message: /24 rows/ });
});

test('what onCheckpoint rejects with, fit rejects with', async () => {
  const full = new Error('the disk is full');
  await assert.rejects(trained({ epochs: 2, onCheckpoint: () => Promise.reject(full) }), full);
  await assert.rejects(trained({ epochs: 2, onCheckpoint: () => { throw full; } }), full);
});

test('early stopping keeps the best epoch', async () => {
  const options: FitOptions = { epochs: 200, validation: features, updater: { type: 'sgd', learningRate: { type: 'map', values: { 0: 0.1, 20: 0.8 } } } };
  const { model, history } = await trained({ ...options, earlyStopping: { monitor: 'valLoss', patience: 3 } });
  assert.ok(history.epochs.length < 200 || history.stoppedBy === 'epochs');
  const best = history.epochs.reduce((a, b) => (b.valLoss! < a.valLoss! ? b : a));
  assert.equal(history.bestEpoch, best.epoch);
  assert.ok(Math.abs((await model.evaluate(features)).loss - best.valLoss!) < 1e-6, 'the parameters of the best epoch');
  const short = await trained({ epochs: 1_000_000, earlyStopping: { maxSeconds: 0.2 } });
  assert.equal(short.history.stoppedBy, 'early-stopping');
  assert.ok(short.history.seconds.train < 10);
});

test('values that are no numbers end the run where it was good, and say where they began', async () => {
  const model = await base.transferLearning().build();
  const untouched = await weights(model);
  const run = model.transferLearningHelper().fitFeaturized(features, { epochs: 5, seed: SEED, updater: { type: 'sgd', learningRate: 1e30 } });
  await assert.rejects(run, (error) => {
    assert.ok(error instanceof RegraftError);
    assert.equal(error.code, 'bad-option', error.message);
    assert.ok(model.vertices.some(({ name }) => name === error.vertex), `${error.vertex} is a vertex: ${error.message}`);
    assert.ok((error.detail as History).iterations.length > 0);
    return true;
  });
  assert.deepEqual(await weights(model), untouched);
  assert.ok((await model.evaluate(features)).loss < 1e3, 'the model is as usable as before');
});

test('smoothing, class weights, order, seed and updaters each change the run', async () => {
  const plain = await losses({});
  assert.deepEqual(await losses({}), plain);
  const changes: FitOptions[] = [
    { labelSmoothing: 0.2 }, { classWeights: 'balanced' }, { classWeights: { b: 3 } }, { shuffle: false }, { seed: SEED + 1 }, { batchSize: 7 },
    { updater: { type: 'adamw', weightDecay: 0.3 } }, { updater: { type: 'rmsprop', learningRate: 1e-3 } }, { updater: { type: 'noop' } },
  ];
  for (const change of changes) assert.notDeepEqual(await losses(change), plain, JSON.stringify(change));
  assert.deepEqual(await losses({ classWeights: { a: 1, b: 1 } }), plain);
  assert.deepEqual(await losses({ updater: { type: 'sgd', learningRate: { type: 'fixed', value: 0.1 } } }), await losses({ updater: { type: 'sgd', learningRate: 0.1 } }));
  for (const wrong of [
    { labelSmoothing: 1 }, { classWeights: { d: 1 } }, { classWeights: { a: -1 } }, { classWeights: 'equal' }, { batchNorm: 'off' },
    { earlyStopping: { patience: 0 } }, { earlyStopping: { wait: 1 } }, { resumeFrom: 'bytes' }, { maxIterations: 0 },
    { updater: { type: 'sgd', learningRate: { type: 'step', initial: 1 } } }, { updater: { type: 'nesterovs', momentum: 1 } },
  ]) {
    await assert.rejects(trained(wrong as never), { code: 'bad-option' }, JSON.stringify(wrong));
  }
});

test('progress tells loss, rate and how far updates move each layer', async () => {
  const seen: Progress[] = [];
  await trained({ epochs: 2, validation: 0.25, onProgress: (p) => seen.push(p) });
  const ends = seen.filter(({ updateRatios }) => updateRatios !== undefined);
  assert.equal(ends.length, 2);
  for (const { valLoss, learningRate, updateRatios } of ends) {
    assert.ok(valLoss! > 0 && learningRate! > 0);
    assert.ok(Object.keys(updateRatios!).length >= 2);
    for (const [name, ratio] of Object.entries(updateRatios!)) {
      assert.ok(base.vertices.some((it) => it.name === name && !it.frozen), name);
      assert.ok(ratio < 1 && ratio > -10, `${name}: ${ratio}`);
    }
  }
});

test('several labels an image are learnt with a loss for each of them', async () => {
  const both = await engine.dataset(Array.from({ length: 12 }, (_, at) => (
    { image: picture(SIZE, at + 1), label: [['a', 'b'], ['c'], ['b', 'c']][at % 3]! })), { labels: LABELS });
  const model = await base.transferLearning().removeVertexKeepConnections(base.outputs[0]!.name)
    .addLayer(base.outputs[0]!.name, { type: 'output', nOut: 3, loss: 'xent', activation: 'sigmoid' }, 'hidden1').build();
  const { epochs } = await model.fit(both, { epochs: 60, updater: { type: 'adam', learningRate: 0.05 } });
  assert.ok(epochs.at(-1)!.loss < 0.7 * epochs[0]!.loss, JSON.stringify(epochs.map(({ loss }) => loss)));
});

test('a network without a loss says which vertex to replace', async () => {
  const network = await engine.load(vgg(SIZE, LABELS.length, SEED), { labels: LABELS });
  await assert.rejects(network.fit(data, { epochs: 1 }), { code: 'conflict', vertex: 'predictions', message: /output layer/ });
});
