// Bad input through the package as built: each is refused with its code, and the engine works on as if nothing had come.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { RegraftError, createEngine, type Dataset, type Engine, type ErrorCode, type ImageInput, type Model } from 'regraft';
import { block, network, picture as pixels, vgg } from './onnx.js';

const SEED = 11;
const SIZE = 16;
const LABELS = ['a', 'b', 'c'];

const picture = (seed: number): ReturnType<typeof pixels> => pixels(SIZE, seed);

let engine: Engine;
let model: Model;
let data: Dataset;
let onnx: Uint8Array;
let regraft: Uint8Array;
before(async () => {
  engine = await createEngine({ threads: 2 });
  onnx = vgg(SIZE, LABELS.length, SEED);
  model = await engine.load(onnx, { labels: LABELS });
  data = await engine.dataset([1, 2, 3, 4, 5, 6].map((seed) => ({ image: picture(seed), label: LABELS[seed % 3]! })));
  [regraft] = Object.values((await model.export('regraft')).files) as [Uint8Array];
});
after(() => engine.dispose());

/** A pickle by hand: protocol 2, a global, the argument ('true',), the call, the end. It would run `true` where globals are resolved. */
const FOREIGN = Uint8Array.from('\x80\x02cposix\nsystem\n(X\x04\x00\x00\x00truetR.', (letter) => letter.charCodeAt(0));

/** What a file starts with that says it is a PNG, and the end of its header. */
const PNG = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0);

function flipped(file: Uint8Array, at: number): Uint8Array {
  return file.map((byte, index) => (index === at ? byte ^ 1 : byte));
}

/** Options and images that the types forbid, as plain JavaScript can give them. */
function untyped<T>(value: unknown): T {
  return value as T;
}

/** Every call and the code of its error; `vertex` where one is to blame, `says` where the message has to name the thing. */
const cases: [name: string, code: ErrorCode, call: () => unknown, more?: { vertex?: string; says?: RegExp }][] = [
  ['half of an ONNX file', 'format', () => engine.load(onnx.slice(0, onnx.length / 2))],
  ['an ONNX file without its last byte', 'format', () => engine.load(onnx.slice(0, -1))],
  ['a PNG called model.onnx', 'format', () => engine.load(new File([PNG], 'model.onnx'))],
  ['the same, called ONNX by an option', 'format', () => engine.load(new File([PNG], 'model.onnx'), { format: 'onnx' })],
  ['an empty file', 'format', () => engine.load(new Uint8Array(0))],
  ['a checkpoint that calls a function', 'format', () => engine.load(FOREIGN, { architecture: 'vgg16' }), { says: /posix[. ]system/ }],
  ['a checkpoint without an architecture', 'bad-option', async () => engine.load(await readFile('../tests/data/pytorch/small_zip.pt'))],
  ['a checkpoint of another network', 'format', async () => (
    engine.load(await readFile('../tests/data/pytorch/small_zip.pt'), { architecture: 'resnet18' }))],
  ['an ONNX file called PyTorch', 'format', () => engine.load(onnx, { format: 'pytorch' })],
  ['an operator that is not there', 'unsupported-op', () => (
    engine.load(network([3, 4, 4], [3], [{ op: 'Det', name: 'odd', inputs: ['input'] }], SEED))), { vertex: 'odd', says: /Det/ }],
  ['shapes that do not fit', 'shape', () => (
    engine.load(network([3, 4, 4], [3], [...block(1, 'input', 1, 5, 4)], SEED))), { vertex: 'block1_conv1/conv' }],
  ['a regraft file with a changed header', 'format', () => engine.load(flipped(regraft, 0))],
  ['a regraft file with a changed weight', 'integrity', () => engine.load(flipped(regraft, regraft.length - 2))],
  ['a file of another digest', 'integrity', () => engine.load(onnx, { integrity: `sha256-${'A'.repeat(43)}=` })],
  ['a file that is not there', 'network', () => engine.load(new URL('nowhere.onnx', import.meta.url))],
  ['labels that do not fit the output', 'bad-option', () => engine.load(onnx, { labels: ['one', 'two'] }), { says: /2 labels.*3/ }],
  ['preprocessing without a size', 'bad-option', () => engine.load(onnx, { preprocessing: { size: { width: 0, height: 4 } } })],
  ['no source at all', 'bad-option', () => engine.load(untyped(undefined))],
  ['a zoo network that is not there', 'bad-option', () => engine.load({ zoo: untyped('resnet1'), weights: 'none' })],
  ['options that are not there', 'bad-option', () => engine.load(onnx, untyped({ label: LABELS })), { says: /label/ }],
  ['no threads', 'bad-option', () => createEngine({ threads: 0 })],
  ['a GPU where there is none', 'no-gpu', () => createEngine({ backend: 'webgpu' })],

  ['an empty image', 'bad-image', () => model.predict(new Uint8Array(0))],
  ['an empty Blob', 'bad-image', () => model.predict(new Blob([]))],
  ['no image at all', 'bad-image', () => model.predict(untyped(undefined))],
  ['the path of an image', 'bad-image', () => model.predict(untyped<ImageInput>('photo.jpg')), { says: /not "photo\.jpg"/ }],
  ['an object that is no image', 'bad-image', () => model.predict(untyped<ImageInput>(new Date(0))), { says: /not Date/ }],
  ['an image of text', 'bad-image', () => model.predict(new Blob(['no image']))],
  ['an image without pixels', 'bad-image', () => model.predict({ data: new Uint8Array(0), width: 0, height: 0 })],
  ['an image NaN wide', 'bad-image', () => model.predict({ data: new Uint8Array(12), width: NaN, height: 2 })],
  ['an image of half a pixel', 'bad-image', () => model.predict({ data: new Uint8Array(3), width: 0.5, height: 2 })],
  ['fewer pixels than said', 'bad-image', () => model.predict({ data: new Uint8Array(11), width: 2, height: 2, channels: 3 })],
  ['pixels that are no bytes', 'bad-image', () => model.predict(untyped<ImageInput>({ data: 'abc', width: 1, height: 1 }))],
  ['one bad image among others', 'bad-image', () => model.predictAll([picture(1), new Blob([])]), { says: /image 1/ }],
  ['topK of 0', 'bad-option', () => model.predict(picture(1), { topK: 0 })],
  ['a tensor of another shape', 'shape', () => model.run({ input: { dtype: 'f32', shape: [1, 3, 2, 2], data: new Float32Array(12) } })],
  ['an input of another name', 'bad-option', () => model.run({ x: tensor() }), { says: /'x'/ }],
  ['an input too many', 'bad-option', () => model.run({ input: tensor(), x: tensor() }), { says: /'x'/ }],
  ['no input', 'bad-option', () => model.run({})],
  ['an output that is not there', 'unknown-vertex', () => model.run({ input: tensor() }, { outputs: ['fc7'] }), { vertex: 'fc7' }],

  ['a sample without a label', 'bad-option', () => engine.dataset([{ image: picture(1), label: untyped(undefined) }])],
  ['a label that is not listed', 'bad-option', () => engine.dataset([{ image: picture(1), label: 'z' }], { labels: LABELS })],
  ['one fold', 'bad-option', () => data.folds(1)],
  ['a share above 1', 'bad-option', () => data.split(1.5)],
  ['training on no images', 'bad-option', async () => model.fit(await engine.dataset([]))],
  ['features of garbage', 'format', () => engine.loadFeatures(new Uint8Array(100))],

  ['an option of fit that is not there', 'bad-option', () => model.fit(data, untyped({ epoch: 3 })), { says: /epoch/ }],
  ['no images in a batch', 'bad-option', () => model.fit(data, { batchSize: 0 })],
  ['half an epoch', 'bad-option', () => model.fit(data, { epochs: 0.5 })],
  ['a negative rate', 'bad-option', () => model.fit(data, { updater: { type: 'sgd', learningRate: -1 } })],
  ['an updater that is not there', 'bad-option', () => model.fit(data, { updater: untyped({ type: 'lion' }) })],
  ['an updater with a setting of another', 'bad-option', () => model.fit(data, { updater: untyped({ type: 'sgd', momentum: 0.9 }) })],
  ['all data held out', 'bad-option', () => model.fit(data, { validation: 1 })],
  ['data that is none', 'bad-option', () => model.fit(untyped({}))],
  ['evaluating the best none', 'bad-option', () => model.evaluate(data, { topN: 0 })],
  ['a classifier without classes', 'bad-option', () => model.classifier({ labels: [] })],
  ['a classifier at no vertex', 'unknown-vertex', () => model.classifier({ labels: LABELS, at: 'fc9' }), { vertex: 'fc9' }],
  ['a helper at no vertex', 'unknown-vertex', () => model.transferLearningHelper(['fc9']), { vertex: 'fc9' }],
  ['freezing an unknown vertex', 'unknown-vertex', () => model.transferLearning().setFeatureExtractor('block1_pol').build(), {
    vertex: 'block1_pol', says: /block1_pool/,
  }],
  ['labels of another number', 'bad-option', () => model.transferLearning().setLabels(['just one']).build()],
  ['a vertex left dangling', 'conflict', () => model.transferLearning().removeVertexAndConnections('predictions').build()],
  ['a layer that is not there', 'bad-option', () => (
    model.transferLearning().addLayer('more', untyped({ type: 'attention' }), 'fc1').setOutputs('more').build())],
  ['a setting that is not there', 'bad-option', () => (
    model.transferLearning().fineTuneConfiguration(untyped({ learningRate: 1 })).build()), { says: /learningRate/ }],
  ['a setting that is no number', 'bad-option', () => (
    model.transferLearning().fineTuneConfiguration({ l2: NaN }).build()), { says: /l2/ }],
  ['a negative penalty', 'bad-option', () => model.transferLearning().fineTuneConfiguration({ l1: -1 }).build(), { says: /l1/ }],
  ['removing and replacing a vertex', 'conflict', () => (
    model.transferLearning().removeVertexAndConnections('fc1').nOutReplace('fc1', 3).build()), { vertex: 'fc1' }],
  ['two numbers of results', 'conflict', () => (
    model.transferLearning().nOutReplace('fc1/dense', 3).nOutReplace('fc1/dense', 4).build()), { vertex: 'fc1/dense' }],
  ['a number of features that the input does not have', 'shape', () => (
    model.transferLearning().nInReplace('fc1/dense', 3).build()), { vertex: 'fc1/dense' }],
  ['a vertex that is not there', 'bad-option', () => (
    model.transferLearning().addVertex('more', untyped({ type: 'divide' }), 'fc1').setOutputs('more').build())],
  ['a format that cannot be written', 'bad-option', () => model.export(untyped('pytorch'))],
  ['an export option that is not there', 'bad-option', () => model.export('onnx', untyped({ opset: 13 })), { says: /opset/ }],
];

function tensor(): { dtype: 'f32'; shape: number[]; data: Float32Array } {
  return { dtype: 'f32', shape: [1, 3, SIZE, SIZE], data: new Float32Array(3 * SIZE * SIZE).fill(0.5) };
}

test('bad input is refused with the right code, and the engine predicts as before', async (t) => {
  const predict = async (): Promise<unknown> => [
    await model.predict(picture(1)), await model.run({ input: tensor() }), await model.predictAll(data),
  ];
  const expected = await predict();
  for (const [name, code, call, { vertex, says } = {}] of cases) {
    await t.test(`${name}: ${code}`, async () => {
      await assert.rejects(async () => call(), (error) => {
        assert.ok(error instanceof RegraftError, `not a RegraftError: ${String(error)}`);
        assert.equal(error.code, code, error.message);
        if (vertex !== undefined) assert.equal(error.vertex, vertex, error.message);
        if (says) assert.match(error.message, says);
        return true;
      });
      assert.deepEqual(await predict(), expected);
    });
  }
});
