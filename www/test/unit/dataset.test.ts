import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Progress, Sample } from '../../src/api.js';
import { image, withEngine } from '../fake.js';

test('labels are sorted by code unit, whatever the order of the samples', () => withEngine(async (engine) => {
  const labels = ['zebra', 'Äpfel', 'apple', 'Zoo', 'apple'];
  for (const order of [labels, labels.toReversed()]) {
    const data = await engine.dataset(order.map((label) => ({ image: image('a'), label })));
    assert.deepEqual(data.labels, ['Zoo', 'apple', 'zebra', 'Äpfel']);
    assert.deepEqual(data.counts, { 'Zoo': 1, 'apple': 2, 'zebra': 1, 'Äpfel': 1 });
  }
}));

test('labels that are given keep their order, and are all there are', () => withEngine(async (engine) => {
  const sample: Sample = { image: image('a'), label: 'dog' };
  const data = await engine.dataset([sample], { labels: ['dog', 'cat'] });
  assert.deepEqual([data.labels, data.counts], [['dog', 'cat'], { dog: 1, cat: 0 }]);
  await assert.rejects(engine.dataset([sample], { labels: ['cat'] }), { code: 'bad-option', message: /dog/ });
  await assert.rejects(engine.dataset([sample], { labels: ['dog', 'dog'] }), { code: 'bad-option' });
  await assert.rejects(engine.dataset([{ ...sample, label: 7 as never }]), { code: 'bad-option' });
}));

test('a label may be several classes, or a number for each', () => withEngine(async (engine) => {
  const labels = ['cat', 'dog', 'owl'];
  const data = await engine.dataset([
    { image: image('a'), label: ['dog', 'cat'] }, { image: image('b'), label: [0.1, 0.2, 0.7] }, { image: image('c'), label: 'dog' },
  ], { labels });
  assert.deepEqual(data.counts, { cat: 1, dog: 1, owl: 1 }, 'the largest entry counts, the first of equal ones');
  assert.deepEqual((await engine.dataset([{ image: image('a'), label: ['owl', 'ant'] }])).labels, ['ant', 'owl']);
  for (const label of [[], ['fox'], [1, 2], [1, -1, 0], [NaN, 0, 0], ['dog', 1 as never]]) {
    await assert.rejects(engine.dataset([{ image: image('a'), label }], { labels }), { code: 'bad-option' }, JSON.stringify(label));
  }
  await assert.rejects(engine.dataset([{ image: image('a'), label: [1, 0] }]), { code: 'bad-option' }, 'numbers of unnamed classes');
}));

test('undecodable images are listed in order, by id, file name or position', () => withEngine(async (engine) => {
  const data = await engine.dataset([
    { image: image('X'), label: 'a', id: 'mine' }, { image: image('a'), label: 'a' }, { image: new File(['X'], 'photo.jpg'), label: 'b' },
    { image: image('X'), label: 'b' }, { image: { data: new Uint8Array(3), width: 1, height: 2 }, label: 'b', id: 'odd' },
  ]);
  assert.equal(data.count, 1);
  assert.deepEqual(data.labels, ['a', 'b']);
  assert.deepEqual(data.rejected.map(({ id }) => id), ['mine', 'photo.jpg', '3', 'odd']);
}));

test('samples may come one after the other, and only a few wait', () => withEngine(async (engine, log) => {
  let [given, most] = [0, 0];
  async function* samples(): AsyncGenerator<Sample> {
    for (; given < 30; given++) {
      most = Math.max(most, given - log.decodes);
      yield { image: image('a'), label: 'a' };
    }
  }
  const seen: Progress[] = [];
  const data = await engine.dataset(samples(), { onProgress: (p) => seen.push(p) });
  assert.equal(data.count, 30);
  assert.ok(most <= 2 * engine.device.threads + 1, `${most} waited`);
  assert.deepEqual([seen.at(-1)?.phase, seen.at(-1)?.done], ['decode', 30]);
}));

test('the pixels of the caller stay the caller\'s', () => withEngine(async (engine) => {
  const data = Uint8Array.of(1, 2, 3);
  await engine.dataset([{ image: { data, width: 1, height: 1 }, label: 'a' }]);
  assert.deepEqual([...data], [1, 2, 3]);
}));

test('subsets are datasets', () => withEngine(async (engine) => {
  const all = await engine.dataset([...'abcdefghij'].map((letter) => ({ image: image(letter), label: letter < 'c' ? 'x' : 'y' })));
  const { train, test: rest } = all.split(0.8);
  assert.deepEqual([train.count, rest.count, rest.labels], [8, 2, ['x', 'y']]);
  assert.equal(train.counts['x']! + rest.counts['x']!, 2);
  assert.equal(all.folds(5).length, 5);
  assert.equal(all.balanced().count, 10);
  assert.throws(() => all.split(1.5), { code: 'bad-option' });
  assert.throws(() => all.folds(1), { code: 'bad-option' });
  assert.throws(() => all.split(0.5, { stratify: true } as never), { code: 'bad-option' });
}));
