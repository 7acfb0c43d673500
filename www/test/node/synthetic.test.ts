// The package as built, in Node, on an untrained network and coloured noise.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createEngine, type Dataset, type Engine, type FeatureSet, type Model, type Preprocessing, type Sample } from 'regraft';
import { random, vgg } from './onnx.js';

const COLOURS = { blue: [40, 60, 200], green: [40, 190, 60], red: [200, 50, 40] } as const;
const SEED = 7;
const SIZE = 64;

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

test('the same seed gives the same numbers and files, bit for bit, with one worker and with two', async () => {
  const run = async (threads: number): Promise<{ losses: number[]; files: Buffer[] }> => {
    const own = await createEngine({ threads });
    const model = await head(own);
    const { iterations } = await model.fit(await own.dataset(samples(6)), { epochs: 3, seed: SEED });
    const modelCard = Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`card ${at}`, 'text']));
    const exports = [await model.export('regraft', { modelCard }), await model.export('onnx', { modelCard })];
    await own.dispose();
    return { losses: iterations.map(({ loss }) => loss), files: exports.flatMap(({ files }) => Object.values(files).map((bytes) => Buffer.from(bytes))) };
  };
  const one = await run(1);
  assert.ok(one.losses.length > 0 && one.files.length === 2);
  for (const other of [await run(1), await run(2)]) {
    assert.deepEqual(other.losses, one.losses);
    // Not deepEqual, which would print megabytes.
    assert.ok(other.files.every((file, at) => file.equals(one.files[at]!)), 'files differ');
  }
});

test('a file tells by its digest which file the network came from', async () => {
  const bytes = vgg(16, 2, SEED);
  // Of one file the platform makes the digest, of several the engine.
  const more: Record<string, Uint8Array>[] = [{}, { 'notes.txt': Uint8Array.of(1, 2, 3) }];
  for (const others of more) {
    const model = await engine.load({ files: { 'model.onnx': bytes, ...others } });
    const written = Buffer.from((await model.export('regraft')).files['model.regraft.safetensors']!);
    const header = JSON.parse(written.toString('utf8', 8, 8 + Number(written.readBigUInt64LE())));
    assert.deepEqual(JSON.parse(header['__metadata__']['regraft.provenance']), {
      'source.format': 'onnx', 'source.sha256': createHash('sha256').update(bytes).digest('hex'),
    });
    await model.dispose();
  }
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

/** Names of the rows, as the saved file has them (safetensors: the length of a JSON header, the header, the tensors). */
async function idsIn(features: FeatureSet): Promise<string[]> {
  const bytes = await features.save();
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const { __metadata__: metadata } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  return JSON.parse(metadata['regraft.ids']);
}

test('groups stay on one side of every split of features, whether made, saved or held out', async () => {
  const grouped = [...samples(8)].map((sample, at) => ({ ...sample, group: `series ${Math.floor(at / 4)}` }));
  const groupOf = new Map(grouped.map(({ id, group }) => [id, group]));
  const model = await head(engine);
  const helper = model.transferLearningHelper();
  const features = await helper.featurize(await engine.dataset(grouped));
  const loaded = await engine.loadFeatures(await features.save());
  for (const set of [features, loaded]) {
    const [train, rest] = set.split(0.5, { seed: SEED });
    const [half] = train.split(0.5, { seed: SEED });
    for (const [part, whole] of [[train, 24], [rest, 24], [half, train.count]] as const) {
      const counts = new Map<string, number>();
      for (const id of await idsIn(part)) counts.set(groupOf.get(id)!, (counts.get(groupOf.get(id)!) ?? 0) + 1);
      assert.deepEqual([...counts.values()], [...counts].map(() => 4), 'whole groups');
      assert.ok(part.count > 0 && part.count < whole);
    }
  }
  // Series of four cannot be cut at a tenth: one is held out as a whole.
  const history = await helper.fitFeaturized(features, { epochs: 1, batchSize: 1, shuffle: false, validation: 0.1, seed: SEED });
  assert.equal(history.iterations.length, 20);
});
