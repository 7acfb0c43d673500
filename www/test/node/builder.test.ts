// The builder through the package as built, on a small network: every call reaches the engine as it is meant.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createEngine, type Engine, type Layer, type LearningConfig, type Model, type Tensor, type Vertex } from 'regraft';
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

test('vertices join branches', async () => {
  const joined = await model.transferLearning()
    .addVertex('both', { type: 'merge' }, 'fc1', 'fc2').addVertex('half', { type: 'scale', factor: 0.5 }, 'both')
    .setOutputs('half').removeVertexAndConnections('predictions').removeVertexAndConnections('predictions/dense').build();
  const { half, fc1, fc2 } = await joined.run(input(), { outputs: ['half', 'fc1', 'fc2'] });
  assert.deepEqual([...half!.data as Float32Array], [...fc1!.data as Float32Array, ...fc2!.data as Float32Array].map((x) => x / 2));
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

test('every layer and vertex is there, and fits its input', async () => {
  const image = 'block1_pool'; // 6 × 8 × 8
  const layers: [Layer, (number | null)[]][] = [
    [{ type: 'conv2d', nOut: 5, kernelSize: 3, stride: 2, padding: 'same', activation: 'mish' }, [null, 5, 4, 4]],
    [{ type: 'conv2d', nOut: 4, kernelSize: [3, 1], padding: [1, 0, 1, 0], dilation: 1, groups: 2, hasBias: false }, [null, 4, 8, 8]],
    [{ type: 'depthwiseConv2d', kernelSize: 3, depthMultiplier: 2, padding: 1 }, [null, 12, 8, 8]],
    [{ type: 'separableConv2d', nOut: 7, kernelSize: 3, padding: 'same' }, [null, 7, 8, 8]],
    [{ type: 'batchNorm', epsilon: 1e-5, momentum: 0.9 }, [null, 6, 8, 8]],
    [{ type: 'activation', activation: 'hardswish' }, [null, 6, 8, 8]], [{ type: 'dropout', dropout: 0.2 }, [null, 6, 8, 8]],
    [{ type: 'maxPool', kernelSize: 2 }, [null, 6, 4, 4]], [{ type: 'avgPool', kernelSize: [3, 3], stride: 1, padding: 'same' }, [null, 6, 8, 8]],
    [{ type: 'globalPool', pooling: 'max' }, [null, 6]], [{ type: 'flatten' }, [null, 384]], [{ type: 'layerNorm' }, [null, 6, 8, 8]],
  ];
  const vertices: [Vertex, string[], (number | null)[]][] = [
    ...(['add', 'subtract', 'multiply', 'average', 'max'] as const).map((type): [Vertex, string[], (number | null)[]] => [{ type }, ['fc1', 'fc1'], [null, 12]]),
    [{ type: 'merge', axis: 1 }, ['fc1', 'fc2'], [null, 20]], [{ type: 'subset', from: 2, to: 5 }, ['fc1'], [null, 4]],
    [{ type: 'scale', factor: 2 }, ['fc1'], [null, 12]], [{ type: 'shift', by: -1 }, ['fc1'], [null, 12]],
    [{ type: 'l2Normalize' }, ['fc1'], [null, 12]], [{ type: 'reshape', shape: [3, -1] }, ['fc1'], [null, 3, 4]],
  ];
  const builder = model.transferLearning();
  layers.forEach(([layer], at) => builder.addLayer(`layer ${at}`, layer, image));
  vertices.forEach(([added, inputs], at) => builder.addVertex(`vertex ${at}`, added, ...inputs));
  const names = [...layers.map((_, at) => `layer ${at}`), ...vertices.map((_, at) => `vertex ${at}`)];
  const edited = await builder.setOutputs('predictions', ...names).build();
  const shapes = [...layers.map(([, shape]) => shape), ...vertices.map(([, , shape]) => shape)];
  assert.deepEqual(names.map((name) => vertex(edited, name)?.outputShape), shapes);
  const outputs = await edited.run(input(), { outputs: names });
  for (const name of names) assert.ok((outputs[name]!.data as Float32Array).every(Number.isFinite), name);
});
