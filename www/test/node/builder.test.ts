// The builder through the package as built, on a small network: every call reaches the engine as it is meant.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createEngine, type Engine, type LearningConfig, type Model, type Tensor } from 'regraft';
import { vgg } from './onnx.js';

const SEED = 23;
const SIZE = 16;

let engine: Engine;
let model: Model;
before(async () => {
  engine = await createEngine({ threads: 1 });
  model = await engine.load(vgg(SIZE, 3, SEED));
});
after(() => engine.dispose());

const vertex = (of: Model, name: string): Model['vertices'][number] | undefined => of.vertices.find((it) => it.name === name);
const input = (): Record<string, Tensor> => (
  { input: { dtype: 'f32', shape: [1, 3, SIZE, SIZE], data: new Float32Array(3 * SIZE * SIZE).fill(0.5) } });

test('freezing reaches the ancestors, unfreezing the descendants', async () => {
  const frozen = await model.transferLearning().setFeatureExtractor('fc1').build();
  assert.deepEqual(['block1_pool', 'flatten', 'fc1', 'fc2'].map((name) => vertex(frozen, name)?.frozen), [true, true, true, false]);
  assert.equal(frozen.parameters.frozen + frozen.parameters.trainable, frozen.parameters.total);
  const [bytes] = Object.values((await frozen.export('regraft')).files);
  const again = await engine.load(bytes!);
  assert.deepEqual(again.vertices, frozen.vertices, 'frozen flags survive a file');
  const half = await again.transferLearning().unfreeze('block2_conv1/conv').build();
  assert.deepEqual(['block1_pool', 'block2_pool', 'fc1'].map((name) => vertex(half, name)?.frozen), [true, false, false]);
  const free = await again.transferLearning().unfreeze().build();
  assert.equal(free.parameters.frozen, 0);
});

test('another number of results goes through the shapes behind it, and says what was drawn anew', async () => {
  const wider = await model.transferLearning().nOutReplace('block2_conv1/conv', 10, 'relu', 'zero').build();
  assert.deepEqual(vertex(wider, 'block2_pool')?.outputShape, [null, 10, SIZE / 4, SIZE / 4]);
  assert.ok(wider.reinitialized.length > 0);
  // What reads the wider features was drawn as zeros, so that everything behind it depends on biases alone, which are 0.
  const { fc1 } = await wider.run(input(), { outputs: ['fc1'] });
  assert.deepEqual([...fc1!.data as Float32Array], Array<number>(12).fill(0));
  const anew = await model.transferLearning().nInReplace('fc2/dense', 12, 'ones').build();
  assert.equal(vertex(anew, 'fc2/dense')?.parameters, 12 * 8 + 8);
  const { fc1: below, fc2: ones } = await anew.run(input(), { outputs: ['fc1', 'fc2'] });
  const sum = (below!.data as Float32Array).reduce((total, x) => total + x, 0);
  for (const x of ones!.data as Float32Array) assert.ok(Math.abs(x - sum) <= 1e-4 * sum, `${x} is not ${sum}`);
});

test('a vertex can become the input', async () => {
  const tail = await model.transferLearning().setInputs('fc1').build();
  assert.deepEqual(tail.inputs, [{ name: 'fc1', shape: [null, 12], dtype: 'f32' }]);
  const whole = await model.run(input(), { outputs: ['fc1', 'predictions'] });
  const { predictions } = await tail.run({ fc1: whole['fc1']! });
  assert.deepEqual(predictions, whole['predictions']);
});

test('the order of the calls changes nothing', async () => {
  const calls = [
    (it: ReturnType<Model['transferLearning']>) => it.fineTuneConfiguration({ seed: 5, weightInit: 'relu', l2: 1e-3 }),
    (it: ReturnType<Model['transferLearning']>) => it.setFeatureExtractor('fc1'),
    (it: ReturnType<Model['transferLearning']>) => it.removeVertexKeepConnections('predictions'),
    (it: ReturnType<Model['transferLearning']>) => it.removeVertexAndConnections('predictions/dense'),
    (it: ReturnType<Model['transferLearning']>) => it.addLayer('predictions', { type: 'output', nOut: 4, loss: 'mcxent' }, 'hidden'),
    (it: ReturnType<Model['transferLearning']>) => it.addLayer('hidden', { type: 'dense', nOut: 6, activation: 'tanh' }, 'fc2'),
  ];
  const outputs = async (order: typeof calls): Promise<unknown> => {
    const edited = await order.reduce((builder, call) => call(builder), model.transferLearning()).build();
    return [await edited.run(input()), edited.summary(), edited.reinitialized];
  };
  assert.deepEqual(await outputs(calls.toReversed()), await outputs(calls));
});

test('settings are left where they are undefined, and removed where they are null', async () => {
  const kept = async (configuration: LearningConfig): Promise<unknown> => {
    const first = await model.transferLearning().setFeatureExtractor('fc1').fineTuneConfiguration({ l2: 0.5, dropout: 0.25, constraints: [{ type: 'unit_norm' }] }).build();
    const second = await first.transferLearning().fineTuneConfiguration(configuration).build();
    const [bytes] = Object.values((await second.export('regraft')).files);
    const header = new TextDecoder().decode(bytes!.subarray(8, 8 + Number(new DataView(bytes!.buffer).getBigUint64(0, true))));
    return JSON.parse(JSON.parse(header).__metadata__['regraft.settings'])['fc2/dense'];
  };
  assert.deepEqual(await kept({ l1: undefined as never }), { l2: 0.5, dropout: 0.25, constraints: [{ type: 'unit_norm' }] });
  assert.deepEqual(await kept({ l2: undefined as never, dropout: null, constraints: null }), { l2: 0.5 });
  assert.deepEqual(await kept({ l2: null, dropout: 0.5 }), { dropout: 0.5, constraints: [{ type: 'unit_norm' }] });
});
