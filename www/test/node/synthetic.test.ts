// The package as built, in Node, on an untrained network and coloured noise.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createEngine, type Dataset, type Engine, type Model, type Preprocessing, type Sample } from 'regraft';

const COLOURS = { blue: [40, 60, 200], green: [40, 190, 60], red: [200, 50, 40] } as const;
const SEED = 7;
const SIZE = 64;

/** Seeded numbers in [0, 1) (Marsaglia's xorshift32). */
function random(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

/** Noise around a colour, so loud that single pixels do not tell it. */
function* samples(perClass: number): Generator<Sample> {
  const next = random(SEED);
  for (let at = 0; at < perClass; at++) {
    for (const [label, colour] of Object.entries(COLOURS)) {
      const data = new Uint8Array(SIZE * SIZE * 3).map((_, i) => colour[i % 3]! + 160 * (next() - 0.5));
      yield { image: { data, width: SIZE, height: SIZE }, label, id: `${label} ${at}` };
    }
  }
}

async function head(engine: Engine, preprocessing: Partial<Preprocessing> = {}): Promise<Model> {
  const base = await engine.load({ zoo: 'squeezenet1_1', weights: 'none' }, { preprocessing });
  return base.classifier({ labels: Object.keys(COLOURS), seed: SEED });
}

let engine: Engine;
let data: Dataset;
before(async () => {
  engine = await createEngine({ threads: 2 });
  data = await engine.dataset(samples(10));
});
after(() => engine.dispose());

test('colours are learned, exported, read back and predicted alike', async () => {
  const model = await head(engine);
  const { train, test: rest } = data.split(0.6, { seed: SEED });
  const history = await model.fit(train, { epochs: 20, seed: SEED, validation: rest, updater: { type: 'adam', learningRate: 1e-2 } });
  assert.equal(history.epochs.length, 20);
  assert.ok(history.epochs.every(({ seconds, valLoss }) => seconds >= 0 && valLoss !== undefined));
  const evaluation = await model.evaluate(rest);
  assert.ok(evaluation.accuracy > 0.9, `seed ${SEED}: ${evaluation}`);

  const [image] = [...samples(1)];
  const expected = await model.predict(image!.image);
  assert.deepEqual(expected.map(({ label }) => label).sort(), data.labels);
  for (const format of ['onnx', 'regraft'] as const) {
    const { files, verified } = await model.export(format);
    assert.ok(verified.samples > 0 && verified.maxAbsDiff <= 1e-4);
    const again = await engine.load({ files }, { labels: data.labels, preprocessing: model.preprocessing });
    const found = await again.predict(image!.image);
    assert.deepEqual(found.map(({ label }) => label), expected.map(({ label }) => label));
    found.forEach(({ probability }, at) => assert.ok(Math.abs(probability - expected[at]!.probability) <= 1e-4));
    await again.dispose();
  }
  await model.dispose();
});

test('the same seed gives the same numbers, bit for bit, with one worker and with two', async () => {
  const losses = async (threads: number): Promise<readonly { loss: number }[]> => {
    const own = await createEngine({ threads });
    const model = await head(own);
    const { iterations } = await model.fit(await own.dataset(samples(6)), { epochs: 3, seed: SEED });
    await own.dispose();
    return iterations;
  };
  const one = await losses(1);
  assert.ok(one.length > 0);
  assert.deepEqual(await losses(1), one);
  assert.deepEqual(await losses(2), one);
});

test('features are kept, saved, read and trained on like the images they come from', async () => {
  const model = await head(engine);
  const helper = model.transferLearningHelper();
  assert.deepEqual(model.transferLearningHelper(helper.boundary).boundary, helper.boundary);
  const features = await helper.featurize(data);
  const loaded = await engine.loadFeatures(await features.save());
  assert.deepEqual([loaded.count, loaded.labels, loaded.trunkKey], [30, data.labels, features.trunkKey]);
  const [train, rest] = loaded.split(0.8, { seed: SEED });
  assert.deepEqual([train.count, rest.count], [24, 6]);

  const outputs = await helper.outputFromFeaturized(rest);
  assert.deepEqual(Object.values(outputs)[0]?.shape, [6, 3]);
  const before = await model.evaluate(rest);
  await helper.fitFeaturized(train, { epochs: 20, updater: { type: 'adam', learningRate: 1e-2 } });
  assert.ok((await model.evaluate(rest)).loss < before.loss);
  const other = await head(engine, { cropFraction: 0.5 });
  await assert.rejects(other.transferLearningHelper().fitFeaturized(train), { code: 'stale-features' });
  for (const it of [features, loaded, train, rest, model, other]) await it.dispose();
});

test('edits are applied to a copy', async () => {
  const model = await head(engine);
  const [output] = model.outputs;
  const edited = await model.transferLearning()
    .fineTuneConfiguration({ updater: { type: 'nesterovs', learningRate: 1e-2 }, seed: SEED })
    .removeVertexKeepConnections(output!.name)
    .addLayer(output!.name, { type: 'output', nOut: 2, loss: 'negativeloglikelihood' }, ...model.transferLearningHelper().boundary)
    .setLabels(['warm', 'cold'])
    .build();
  assert.deepEqual(edited.labels, ['warm', 'cold']);
  assert.ok(edited.reinitialized.length > 0);
  assert.deepEqual(model.labels, Object.keys(COLOURS));
  assert.ok(edited.parameters.trainable < model.parameters.trainable);
  await assert.rejects(model.transferLearning().setFeatureExtractor('nowhere').build(), { code: 'unknown-vertex', vertex: 'nowhere' });
});

test('bad input is refused with the right code, and the engine works on', async () => {
  const onnx = Object.values((await (await head(engine)).export('onnx')).files)[0]!;
  await assert.rejects(engine.load(onnx.slice(0, onnx.length / 2)), { code: 'format' });
  await assert.rejects(engine.load(new File([Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10)], 'model.onnx')), { code: 'format' });
  await assert.rejects(engine.load(new Uint8Array(0)), { code: 'format' });
  await assert.rejects(engine.load(new URL('nowhere.onnx', import.meta.url)), { code: 'network' });
  const model = await head(engine);
  await assert.rejects(model.predict({ data: new Uint8Array(0), width: 0, height: 0 }), { code: 'bad-image' });
  await assert.rejects(model.transferLearning().setLabels(['just one']).build(), { code: 'bad-option' });
  await assert.rejects(model.classifier({ labels: [] }), { code: 'bad-option' });
  await assert.rejects(model.fit(data, { batchSize: 0 }), { code: 'bad-option' });
  await assert.rejects(model.fit(data, { updater: { type: 'sgd', learningRate: -1 } }), { code: 'bad-option' });
  assert.equal((await model.predict([...samples(1)][0]!.image)).length, 3);
});
