import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Dataset, Progress, Sample } from '../../src/api.js';
import { startEngine } from '../../src/client/engine.js';
import type { WasmBuild } from '../../src/loader.js';
import { SLOW, TRAP, fakeHost, image, withEngine, type Log } from '../fake.js';

const bytes = Uint8Array.of(1);
const samples = (text: string): Sample[] => [...text].map((letter, at) => ({ image: image(letter), label: at % 2 ? 'b' : 'a' }));
const trap = String.fromCharCode(TRAP);
const slow = String.fromCharCode(SLOW);

test('the trunk runs once an image, whatever is done with it', () => withEngine(async (engine, log) => {
  const model = await engine.load(bytes);
  const data = await engine.dataset(samples('abcdefgh'));
  const { train, test: rest } = data.split(0.5);
  await model.fit(train);
  await model.evaluate(data);
  await model.fit(train, { validation: rest });
  await model.predictAll(data);
  assert.equal(log.trunkRuns, 8);
  assert.equal(log.decodes, 8, 'pixels of the check are used again');
  const other = await engine.load(Uint8Array.of(2));
  await other.evaluate(data);
  assert.equal(log.trunkRuns, 16, 'another trunk sees the images anew');
  assert.ok(log.trunkLoads <= 4, 'a trunk is sent to a worker once');
}));

test('a later dataset runs the trunk on new images alone', () => withEngine(async (engine, log) => {
  const model = await engine.load(bytes);
  const rows = async (data: Dataset): Promise<unknown> => (await model.transferLearningHelper().featurize(data)).toTensors();
  const photos = samples('abcdefgh');
  const first = await engine.dataset(photos);
  await model.evaluate(first);
  const changed = [...photos.slice(1).map((sample) => ({ ...sample, label: 'renamed' })), ...samples('i')];
  const second = await rows(await engine.dataset(changed));
  assert.deepEqual([log.trunkRuns, log.decodes], [9, 9]);
  assert.deepEqual(await rows(await engine.dataset(samples('bcdefghi'))), second);
  assert.equal(log.trunkRuns, 17, 'other Blobs may be other images');
}));

test('an image that cannot be decoded is refused each time it comes', () => withEngine(async (engine) => {
  const broken = image('X');
  for (let time = 0; time < 2; time++) assert.equal((await engine.dataset([{ image: broken, label: 'a' }])).rejected.length, 1);
}));

test('results do not depend on the number of workers', async () => {
  const made = async (threads: number): Promise<unknown> => {
    let result: unknown;
    await withEngine(async (engine) => {
      const model = await engine.load(bytes);
      const features = await model.transferLearningHelper().featurize(await engine.dataset(samples(`a${slow}cde${slow}gh`)));
      result = await features.toTensors();
    }, { threads });
    return result;
  };
  assert.deepEqual(await made(1), await made(2));
  assert.deepEqual(await made(1), await made(5));
});

test('workers start when there is work for them', () => withEngine(async (engine, log) => {
  assert.equal(log.workers, 1);
  const model = await engine.load(bytes);
  await model.predict(image('a'));
  assert.equal(log.workers, 1, 'one image is not worth a worker');
  await engine.dataset(samples('abcdef'));
  assert.equal(log.workers, 1 + engine.device.threads);
}));

test('where a shared memory finds no room, the engine does without', async () => {
  const log: Log = { trunkRuns: 0, decodes: 0, live: 0, workers: 0, trunkLoads: 0 };
  const host = fakeHost(log);
  const asked: WasmBuild[] = [];
  const engine = await startEngine({
    ...host,
    build: (threads) => (threads ? 'relaxed-simd-threads' : 'relaxed-simd'),
    instantiate: async (module, build) => {
      asked.push(build);
      if (build === 'relaxed-simd-threads') throw new RangeError('could not allocate memory');
      return host.instantiate(module, build);
    },
  }, {});
  assert.deepEqual(asked, ['relaxed-simd-threads', 'relaxed-simd']);
  assert.equal((await (await engine.load(bytes)).predict(image('a')))[0]?.label, 'a');
  await engine.dispose();
  const none = { ...host, instantiate: async () => Promise.reject(new RangeError('could not allocate memory')) };
  await assert.rejects(startEngine(none, {}), RangeError);
});

test('what was made in wasm memory is freed', () => withEngine(async (engine, log) => {
  const model = await engine.load(bytes);
  const data = await engine.dataset(samples('abcd'));
  const features = await model.transferLearningHelper().featurize(data);
  const [half, rest] = features.split(0.5);
  await model.fit(data);
  await model.evaluate(half);
  const edited = await model.transferLearning().setOutputs('head').build();
  assert.deepEqual(edited.reinitialized, ['head']);
  for (const it of [half, rest, features, edited, model]) await it.dispose();
  await engine.memory();
  assert.equal(log.live, engine.device.threads, 'the trunks in the pool, which wait for more images');
}));

test('while a model learns, other calls on it are refused and other models work', () => withEngine(async (engine) => {
  const [model, other] = [await engine.load(bytes), await engine.load(bytes)];
  const data = await engine.dataset(samples('abcd'));
  const fit = model.fit(data);
  await assert.rejects(model.predict(image('a')), { code: 'busy' });
  await assert.rejects(model.fit(data), { code: 'busy' });
  assert.equal((await other.predict(image('a')))[0]?.label, 'a');
  assert.equal((await fit).stoppedBy, 'epochs');
  await model.predict(image('a'));
}, { iterations: 50 }));

test('an aborted fit resolves with what it has', () => withEngine(async (engine) => {
  const model = await engine.load(bytes);
  const data = await engine.dataset(samples('abcd'));
  const controller = new AbortController();
  const history = await model.fit(data, {
    signal: controller.signal,
    onProgress: ({ phase, iteration = 0 }) => { if (phase === 'train' && iteration > 3) controller.abort(); },
  });
  assert.equal(history.stoppedBy, 'aborted');
  assert.ok(history.iterations.length > 3 && history.iterations.length < 100_000);

  const before = await model.fit(data, { signal: AbortSignal.abort() });
  assert.deepEqual([before.stoppedBy, before.iterations.length], ['aborted', 0]);
  await model.predict(image('a'));
}, { iterations: 100_000 }));

test('other calls reject when aborted', () => withEngine(async (engine) => {
  const model = await engine.load(bytes);
  const data = await engine.dataset(samples(slow.repeat(20)));
  const controller = new AbortController();
  const call = model.evaluate(data, { signal: controller.signal, onProgress: () => controller.abort() });
  await assert.rejects(call, { code: 'aborted' });
  await assert.rejects(engine.dataset(samples('abc'), { signal: AbortSignal.abort() }), { code: 'aborted' });
  assert.equal((await model.evaluate(data)).count, 20);
}));

test('disposed objects say so, and a fit under way ends with its model', () => withEngine(async (engine) => {
  const model = await engine.load(bytes);
  const data = await engine.dataset(samples('abcd'));
  const fit = model.fit(data);
  await model.dispose();
  await assert.rejects(fit, { code: 'disposed' });
  await assert.rejects(model.predict(image('a')), { code: 'disposed' });
  await model.dispose();
}, { iterations: 100_000 }));

test('disposing of the engine ends everything', () => withEngine(async (engine) => {
  const model = await engine.load(bytes);
  const data = await engine.dataset(samples('abcd'));
  const fit = model.fit(data);
  await engine.dispose();
  await assert.rejects(fit, { code: 'disposed' });
  await assert.rejects(engine.load(bytes), { code: 'disposed' });
  await engine.dispose();
}, { iterations: 100_000 }));

test('a trap costs one image its result and no other', () => withEngine(async (engine, log) => {
  const model = await engine.load(bytes);
  const data = await engine.dataset(samples('acdefghij'));
  const bad = await engine.dataset(samples(trap));
  const outcomes = await Promise.allSettled([model.evaluate(data), model.evaluate(bad)]);
  assert.deepEqual(outcomes.map(({ status }) => status), ['fulfilled', 'rejected']);
  assert.equal((await model.evaluate(data)).count, 9);
  await model.predict(image('a'));
  assert.ok(log.workers > 3, 'trapped workers were replaced');
}));

test('bad input is refused with a code, and the engine works on', () => withEngine(async (engine) => {
  await assert.rejects(engine.load(new Uint8Array(0)), { code: 'format' });
  await assert.rejects(engine.load(42 as unknown as string), { code: 'bad-option' });
  await assert.rejects(engine.load({ zoo: 'vgg16' } as never), { code: 'bad-option', message: /weights/ });
  await assert.rejects(engine.load(bytes, { formt: 'onnx' } as never), { code: 'bad-option', message: /formt/ });
  const model = await engine.load(bytes);
  await assert.rejects(model.transferLearning().removeVertexAndConnections('nowhere').build(), { code: 'unknown-vertex', vertex: 'nowhere' });
  await assert.rejects(model.predict(image('X')), { code: 'bad-image' });
  await assert.rejects(model.predict(new Blob([])), { code: 'bad-image' });
  await assert.rejects(model.predict({ data: new Uint8Array(5), width: 2, height: 2 }), { code: 'bad-image' });
  await assert.rejects(model.predict(image('a'), { topK: 0 }), { code: 'bad-option' });
  await assert.rejects(model.export('keras' as 'onnx'), { code: 'bad-option' });
  await assert.rejects(model.predictAll([image('a'), image('X')]), { code: 'bad-image', message: /image 1/ });
  await assert.rejects(model.fit(await engine.dataset([])), { code: 'bad-option' });
  await assert.rejects(model.fit({} as never), { code: 'bad-option' });
  assert.throws(() => model.transferLearningHelper(['nowhere']), { code: 'unknown-vertex', vertex: 'nowhere' });
  assert.equal((await model.predict({ data: Uint8Array.of(255), width: 1, height: 1 }))[0]?.probability, 1);
}));

test('data of another engine is refused', () => withEngine((one) => withEngine(async (other) => {
  const model = await one.load(bytes);
  await assert.rejects(model.fit(await other.dataset(samples('ab'))), { code: 'bad-option', message: /engines/ });
})));

test('the memory budget is kept before anything is made', () => withEngine(async (engine) => {
  const model = await engine.load(bytes);
  await assert.rejects(engine.load(new Uint8Array(5000)), { code: 'over-budget' });
  await model.evaluate(await engine.dataset(samples('ab')));
  assert.ok((await engine.memory()).peakBytes <= 5000);
}, { memoryBudget: 5000 }));

test('features name their boundary, and can be cut into parts at once', () => withEngine(async (engine) => {
  const model = await engine.load(bytes);
  const helper = model.transferLearningHelper();
  assert.deepEqual(helper.boundary, ['trunk']);
  assert.deepEqual(model.transferLearningHelper(['trunk']).boundary, ['trunk']);
  const seen: Progress['phase'][] = [];
  const features = await helper.featurize(await engine.dataset(samples('abcd')), { onProgress: ({ phase }) => seen.push(phase) });
  assert.deepEqual(seen.at(-1), 'featurize');
  const [three, one] = features.split(0.75);
  assert.deepEqual([three.count, one.count, one.labels], [3, 1, ['a', 'b']]);
  assert.deepEqual((await one.toTensors())['trunk']?.data, Float32Array.of('d'.charCodeAt(0), 1));
  assert.equal((await helper.fitFeaturized(three, { validation: one })).stoppedBy, 'epochs');
  assert.equal((await helper.fitFeaturized(three, { validation: 0.3 })).stoppedBy, 'epochs');
}));

test('a helper keeps its model', () => withEngine(async (engine) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const helper = await engine.load(bytes).then((model) => model.transferLearningHelper());
  for (let turn = 0; turn < 5; turn += 1) {
    collect();
    await setTimeout(20);
  }
  assert.equal((await helper.featurize(await engine.dataset(samples('ab')))).count, 2);
}));

test('classes are matched by name, and features of other classes are refused', () => withEngine(async (engine) => {
  const base = await engine.load(bytes);
  const model = await base.classifier({ labels: ['z', 'b', 'a'] });
  const data = await engine.dataset(samples('abcd'));
  assert.deepEqual(data.labels, ['a', 'b']);
  assert.deepEqual((await model.evaluate(data)).labels, ['z', 'b', 'a']);
  const features = await base.transferLearningHelper().featurize(data);
  await assert.rejects(model.evaluate(features), { code: 'bad-option', message: /z, b, a/ });
  const other = await base.classifier({ labels: ['x', 'y'] });
  await assert.rejects(other.fit(data), { code: 'bad-option', message: /x, y/ });
}));

test('images and features that no dataset needs any more are forgotten', () => withEngine(async (engine) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const model = await engine.load(bytes);
  const { wasmBytes: before } = await (async () => {
    const data = await engine.dataset(samples('abcd'));
    const kept = await engine.memory();
    await model.evaluate(data.split(0.5).train);
    await model.evaluate(data.split(0.5).test);
    assert.ok((await engine.memory()).wasmBytes > kept.wasmBytes);
    return kept;
  })();
  for (let tries = 0; tries < 100 && (await engine.memory()).wasmBytes > before + 2000; tries++) {
    collect();
    await setTimeout(10);
  }
  assert.ok((await engine.memory()).wasmBytes <= before + 2000, 'the trunks in the pool are all that was added');
}));
