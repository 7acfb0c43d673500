// Augmented views through the package as built, on a small network.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEngine, type Dataset, type Engine, type FeatureSet, type Model, type Sample } from 'regraft';
import { picture, vgg } from './onnx.js';

const SEED = 3;
const SIZE = 16;
const LABELS = ['a', 'b'];
/** A mirrored view is resampled, which moves values by rounding alone. */
const TOLERANCE = 1e-4;

type Picture = ReturnType<typeof picture>;

function mirrored({ data, width, height }: Picture): Picture {
  const at = (x: number, y: number, c: number): number => (y * width + x) * 3 + c;
  const other = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) for (let c = 0; c < 3; c++) other[at(x, y, c)] = data[at(width - 1 - x, y, c)]!;
  return { data: other, width, height };
}

const pictures = Array.from({ length: 8 }, (_, at) => picture(SIZE, at + 1));
const samples = (of: readonly Picture[]): Sample[] => of.map((image, at) => ({ image, label: LABELS[at % 2]! }));

async function withModel(threads: number, body: (engine: Engine, model: Model, data: Dataset) => Promise<void>): Promise<void> {
  const engine = await createEngine({ threads });
  try {
    const base = await engine.load(vgg(SIZE, 2, SEED), { labels: LABELS, preprocessing: { cropFraction: 1 } });
    const model = await base.classifier({ labels: LABELS, at: 'fc1', seed: SEED });
    await body(engine, model, await engine.dataset(samples(pictures)));
  } finally {
    await engine.dispose();
  }
}

async function rows(features: FeatureSet): Promise<number[][]> {
  const [tensor] = Object.values(await features.toTensors());
  const values = [...tensor!.data as Float32Array];
  const [count, width] = tensor!.shape as [number, number];
  return Array.from({ length: count }, (_, row) => values.slice(row * width, (row + 1) * width));
}

function near(a: readonly number[], b: readonly number[]): boolean {
  return a.every((x, at) => Math.abs(x - b[at]!) <= TOLERANCE * (1 + Math.abs(x)));
}

test('views are the plain image and others drawn from it, the same for any number of workers', async () => {
  const made: number[][][] = [];
  for (const threads of [1, 2]) {
    await withModel(threads, async (engine, model, data) => {
      const helper = model.transferLearningHelper();
      const plain = await rows(await helper.featurize(data));
      const other = await rows(await helper.featurize(await engine.dataset(samples(pictures.map(mirrored)))));
      const features = await helper.featurize(data, { views: 5, augmentation: { flipHorizontal: true }, seed: SEED });
      assert.equal(features.count, pictures.length);
      const all = await rows(features);
      assert.equal(all.length, 6 * pictures.length);
      const kinds = all.map((row, at) => {
        const image = Math.floor(at / 6);
        if (at % 6 === 0) assert.deepEqual(row, plain[image], 'view 0 is the plain one');
        const isMirrored = near(row, other[image]!);
        assert.ok(isMirrored || near(row, plain[image]!), `seed ${SEED}: view ${at} is neither image nor mirror image`);
        return isMirrored;
      });
      const share = kinds.filter(Boolean).length / (5 * pictures.length);
      assert.ok(share > 0.25 && share < 0.75, `seed ${SEED}: ${share} of the views are mirrored`);
      const [half] = features.split(0.5, { seed: SEED });
      assert.deepEqual([half.count, (await rows(half)).length], [4, 24], 'views stay with their image');
      const loaded = await engine.loadFeatures(await features.save());
      assert.deepEqual([loaded.count, await rows(loaded)], [features.count, all]);
      made.push(all);
    });
  }
  assert.deepEqual(made[0], made[1]);
});

test('fit makes views by itself, and is repeatable', () => withModel(2, async (_engine, model, data) => {
  const losses = async (options: object): Promise<readonly { loss: number }[]> => {
    const copy = await model.transferLearning().build();
    const { iterations, epochs } = await copy.fit(data, { epochs: 4, batchSize: 4, seed: SEED, validation: data, ...options });
    assert.equal(iterations.length, 8, 'an epoch is as long as without views');
    assert.ok(epochs.every(({ valLoss }) => valLoss !== undefined));
    return iterations;
  };
  const augmentation = { flipHorizontal: true, rotateDegrees: 20, brightness: 0.3 };
  const first = await losses({ augmentation, views: 3 });
  assert.deepEqual(await losses({ augmentation, views: 3 }), first);
  assert.notDeepEqual(await losses({}), first);
  assert.notDeepEqual(await losses({ augmentation, views: 3, seed: SEED + 1 }), first);
  assert.equal((await losses({ augmentation: { mixup: 0.2, cutmix: 1 } })).length, 8);
}));

test('what cannot be is refused', () => withModel(1, async (_engine, model, data) => {
  const helper = model.transferLearningHelper();
  const features = await helper.featurize(data, { augmentation: { mixup: 0.4 }, dtype: 'f16' });
  assert.throws(() => features.split(0.5), { code: 'bad-option' });
  await assert.rejects(helper.fitFeaturized(features, { validation: 0.5 }), { code: 'bad-option' });
  await assert.rejects(helper.fitFeaturized(features, { augmentation: { zoom: 0.1 } }), { code: 'bad-option' });
  await assert.rejects(helper.featurize(data, { views: 2 }), { code: 'bad-option', message: /augmentation/ });
  await assert.rejects(helper.featurize(data, { augmentation: { zoom: 2 } }), { code: 'bad-option', message: /zoom/ });
  await assert.rejects(helper.featurize(data, { augmentation: { flip: true } as never }), { code: 'bad-option', message: /flip/ });
  await assert.rejects(helper.featurize(data, { batchSize: 0 }), { code: 'bad-option' });
  await assert.rejects(model.fit(data, { augmentation: { hue: NaN } }), { code: 'bad-option' });
}));
