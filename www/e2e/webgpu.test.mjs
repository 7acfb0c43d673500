// The package on WebGPU in a browser, against the same work on the CPU. Needs www/dist. Without an adapter it fails.
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { launch } from './browser.mjs';
import { serve } from './server.mjs';
import { vgg } from '../test-build/test/node/onnx.js';

/** Height and width of the images. */
const SIZE = 16;
/** A few layers in another order of summation. */
const FEATURE_DIFFERENCE = 1e-4;
/** The same along a run of training. */
const TRAINED_DIFFERENCE = 1e-3;
/** Chromium's adapter that runs shaders on the CPU. */
const SOFTWARE = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

let server;
let browser;

before(async () => {
  server = await serve({ site: fileURLToPath(new URL('../dist', import.meta.url)) });
  browser = await launch(SOFTWARE);
});

after(async () => {
  await browser?.close();
  await server?.close();
});

/** A page with the package and `work`, which trains a small network on coloured noise. */
async function open(from = browser) {
  const page = await from.newPage();
  await page.goto(`${server.url}index.js`);
  await page.evaluate(({ module, size: SIZE, onnx }) => {
    const COLOURS = { blue: [40, 60, 200], green: [40, 190, 60], red: [200, 50, 40] };
    const PER_CLASS = 4;
    // Marsaglia's xorshift32.
    const random = (x) => () => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) / 2 ** 32;
    };
    window.start = async (options) => {
      const { createEngine } = await import(module);
      const engine = await createEngine({ threads: 2, ...options });
      const changes = [];
      engine.onDeviceChange(({ backend, reason }, cause) => changes.push({ backend, reason, cause }));
      return { engine, changes };
    };
    window.work = async ({ engine, changes }, beforeFit = async () => undefined) => {
      const next = random(7);
      const samples = Array.from({ length: PER_CLASS }, () => Object.entries(COLOURS)).flat().map(([label, colour], at) => ({
        image: { data: new Uint8Array(SIZE * SIZE * 3).map((_, i) => colour[i % 3] + 100 * (next() - 0.5)), width: SIZE, height: SIZE }, label, id: `${at}`,
      }));
      const base = await engine.load(Uint8Array.from(onnx));
      const model = await base.transferLearning()
        .fineTuneConfiguration({ seed: 7 })
        .setFeatureExtractor('block1_pool')
        .removeVertexAndConnections('predictions')
        .addLayer('classes', { type: 'output', nOut: 3, activation: 'softmax', loss: 'negativeloglikelihood' }, 'predictions/dense')
        .setOutputs('classes').setLabels(Object.keys(COLOURS)).build();
      const data = await engine.dataset(samples);
      const helper = model.transferLearningHelper();
      const tensors = [];
      for (const options of [{}, { views: 2, augmentation: { flipHorizontal: true, rotateDegrees: 10 }, seed: 7 }]) {
        const features = await helper.featurize(data, options);
        for (const { data: values } of Object.values(await features.toTensors())) tensors.push([...values]);
      }
      await beforeFit();
      const history = await model.fit(data, {
        epochs: 6, batchSize: 4, seed: 7, validation: data, updater: { type: 'adam', learningRate: 1e-2 },
      });
      const predictions = await model.predict(samples[0].image);
      const { accuracy, loss } = await model.evaluate(data);
      const features = await helper.featurize(data);
      const { classes } = await helper.outputFromFeaturized(features);
      const [{ name, shape }] = model.inputs;
      const whole = shape.map((extent) => extent ?? 2);
      const pixels = Float32Array.from({ length: whole.reduce((all, extent) => all * extent) }, () => next() - 0.5);
      const inputs = { [name]: { dtype: 'f32', shape: whole, data: pixels } };
      const ran = await model.run(inputs);
      window.made = { model, helper, features, image: samples[0].image, inputs };
      const { device } = engine;
      const { gpuBytes } = await engine.memory();
      return { device, changes, tensors, history, predictions, accuracy, loss, outputs: [...classes.data, ...ran.classes.data], gpuBytes };
    };
  }, { module: `${server.url}index.js`, size: SIZE, onnx: [...vgg(SIZE, 3, 11)] });
  return page;
}

const worst = (ours, theirs) => Math.max(...ours.map((value, at) => Math.abs(value - theirs[at]) / Math.max(1, Math.abs(theirs[at]))));

/** What was made and learned is what the CPU makes and learns. */
function agree(ours, theirs) {
  ours.tensors.forEach((values, at) => {
    assert.equal(values.length, theirs.tensors[at].length);
    const difference = worst(values, theirs.tensors[at]);
    assert.ok(difference <= FEATURE_DIFFERENCE, `features differ by ${difference}`);
  });
  const losses = ({ history }) => [...history.iterations.map(({ loss }) => loss), ...history.epochs.map(({ valLoss }) => valLoss)];
  assert.equal(losses(ours).length, losses(theirs).length);
  const difference = worst(losses(ours), losses(theirs));
  assert.ok(difference <= TRAINED_DIFFERENCE, `losses differ by ${difference}`);
  assert.deepEqual(ours.predictions.map(({ label }) => label), theirs.predictions.map(({ label }) => label));
  const probabilities = ({ predictions }) => predictions.map(({ probability }) => probability);
  assert.ok(worst(probabilities(ours), probabilities(theirs)) <= TRAINED_DIFFERENCE);
  assert.equal(ours.accuracy, theirs.accuracy);
  assert.ok(worst([ours.loss], [theirs.loss]) <= TRAINED_DIFFERENCE, `losses of ${ours.loss} and ${theirs.loss}`);
  assert.equal(ours.outputs.length, theirs.outputs.length);
  assert.ok(worst(ours.outputs, theirs.outputs) <= TRAINED_DIFFERENCE);
}

let cpu;
test('features, training and predictions are those of the CPU', async () => {
  const page = await open();
  cpu = await page.evaluate(async () => window.work(await window.start({ backend: 'cpu' })));
  assert.deepEqual({ ...cpu.device, simd: undefined }, { backend: 'cpu', reason: 'asked for', simd: undefined, threads: 2 });
  assert.equal(cpu.gpuBytes, 0);
  const gpu = await page.evaluate(async () => window.work(await window.start({ backend: 'webgpu' })));
  assert.deepEqual(gpu.changes, []);
  assert.equal(gpu.device.backend, 'webgpu');
  assert.equal(gpu.device.adapter.software, true);
  assert.ok(gpu.gpuBytes > 0);
  agree(gpu, cpu);
  await page.close();
});

test('evaluation, outputs and predictions are made on the GPU', async () => {
  const page = await open();
  await page.evaluate(async () => window.work(await window.start({ backend: 'webgpu' })));
  const [worker] = page.workers();
  await worker.evaluate(() => {
    const { submit } = GPUQueue.prototype;
    self.submits = 0;
    GPUQueue.prototype.submit = function (...args) {
      self.submits++;
      return submit.apply(this, args);
    };
  });
  const calls = {
    evaluate: () => window.made.model.evaluate(window.made.features),
    outputs: () => window.made.helper.outputFromFeaturized(window.made.features),
    run: () => window.made.model.run(window.made.inputs),
    predict: () => window.made.model.predict(window.made.image),
    predictAll: () => window.made.model.predictAll([window.made.image]),
  };
  for (const [name, call] of Object.entries(calls)) {
    const before = await worker.evaluate(() => self.submits);
    await page.evaluate(call);
    assert.ok(await worker.evaluate(() => self.submits) > before, `${name} asked nothing of the GPU`);
  }
  await page.close();
});

test('the free choice is timed, and says what it found', async () => {
  const page = await open();
  const free = await page.evaluate(async () => {
    const started = await window.start({});
    return { before: started.engine.device, ...await window.work(started) };
  });
  assert.equal(free.before.backend, 'cpu', free.before.reason);
  assert.match(free.device.reason, /ms on the GPU, .* on the CPU/);
  agree(free, cpu);
  await page.close();
});

/** Submissions until the device is lost: one epoch has about eight. */
const UNTIL_LOSS = 12;

/** Loses the device in the middle of the second epoch, for good or not. */
async function loseDevice(page, { forGood }) {
  const [worker] = page.workers();
  await worker.evaluate(({ gone, until }) => {
    const { createCommandEncoder } = GPUDevice.prototype;
    let left = until;
    GPUDevice.prototype.createCommandEncoder = function (...args) {
      if (left-- === 0) {
        if (gone) navigator.gpu.requestAdapter = async () => null;
        this.destroy();
      }
      return createCommandEncoder.apply(this, args);
    };
  }, { gone: forGood, until: UNTIL_LOSS });
}

for (const forGood of [false, true]) {
  test(`a device lost in training ${forGood ? 'for good moves work to the CPU' : 'is made anew'}`, async () => {
    const page = await open();
    await page.exposeFunction('lose', () => loseDevice(page, { forGood }));
    const lost = await page.evaluate(async () => window.work(await window.start({ backend: 'webgpu' }), window.lose));
    assert.equal(lost.changes.length, 1, JSON.stringify(lost.changes));
    assert.equal(lost.changes[0].backend, forGood ? 'cpu' : 'webgpu');
    assert.equal(lost.device.backend, lost.changes[0].backend);
    agree(lost, cpu);
    await page.close();
  });
}

/** Starts an engine, does something to its worker, and works. Gives what the work brings, or its error. */
async function workAfter(options, injected, argument) {
  const page = await open();
  await page.evaluate(async (given) => { window.started = await window.start(given); }, options);
  const [worker] = page.workers();
  await worker.evaluate(injected, argument);
  const outcome = await page.evaluate(() => window.work(window.started).catch(({ code, vertex, message }) => ({ code, vertex, message, changes: window.started.changes })));
  const writes = await worker.evaluate(() => self.writes);
  await page.close();
  return { ...outcome, writes };
}

/** From now on the device has no memory: for the first plan that makes a buffer of `size` bytes, or for all of them. */
function exhaust(size) {
  const { createBuffer, popErrorScope, pushErrorScope } = GPUDevice.prototype;
  const { writeBuffer } = GPUQueue.prototype;
  const open = [];
  let [asked, done] = [false, false];
  GPUDevice.prototype.createBuffer = function (descriptor) {
    asked ||= size === undefined || descriptor.size === size;
    return createBuffer.call(this, descriptor);
  };
  GPUDevice.prototype.pushErrorScope = function (filter) {
    open.push(filter);
    return pushErrorScope.call(this, filter);
  };
  GPUDevice.prototype.popErrorScope = async function () {
    const fails = open.pop() === 'out-of-memory' && asked && !done;
    if (fails) done = size !== undefined;
    const error = await popErrorScope.call(this);
    return fails ? new GPUOutOfMemoryError('injected') : error;
  };
  self.writes = [];
  GPUQueue.prototype.writeBuffer = function (...args) {
    self.writes.push(args[4] ?? args[2].byteLength);
    return writeBuffer.apply(this, args);
  };
}

/** Images of a run on the GPU, and their bytes. */
const [BATCH, IMAGE_BYTES] = [8, SIZE * SIZE * 3 * 4];

test('without memory for a batch, half of one runs on the GPU', async () => {
  const half = await workAfter({ backend: 'webgpu' }, exhaust, BATCH * IMAGE_BYTES);
  assert.deepEqual(half.changes, []);
  assert.equal(half.device?.backend, 'webgpu', half.message);
  // What is more than a batch of images is one of features.
  const batches = half.writes.map((bytes) => bytes / IMAGE_BYTES).filter((images) => images >= BATCH / 2 && images <= BATCH);
  // The one that fails may be written before that is known.
  assert.ok(batches.filter((images) => images !== BATCH / 2).length <= 1 && batches.at(-1) === BATCH / 2, `${batches}`);
  agree(half, cpu);
});

test('without memory for anything, work moves to the CPU', async () => {
  const moved = await workAfter({ backend: 'webgpu' }, exhaust);
  assert.equal(moved.device?.backend, 'cpu', moved.message);
  assert.match(moved.device.reason, /no memory left/);
  assert.deepEqual(moved.changes.map(({ backend }) => backend), ['cpu']);
  agree(moved, cpu);
});

/** From now on no kernel with a window compiles. */
function breakShaders() {
  const { createShaderModule } = GPUDevice.prototype;
  GPUDevice.prototype.createShaderModule = function (descriptor) {
    const { code } = descriptor;
    return createShaderModule.call(this, { ...descriptor, code: code.includes('tap_h') ? `${code}\nfn broken(` : code });
  };
}

test('a kernel that does not compile is an error with its vertex where the GPU was asked for', async () => {
  const { code, vertex, message } = await workAfter({ backend: 'webgpu' }, breakShaders);
  assert.equal(code, 'internal', message);
  assert.match(vertex, /block1/, message);
});

test('a kernel that does not compile leaves the free choice to the CPU', async () => {
  const moved = await workAfter({}, breakShaders);
  assert.equal(moved.device?.backend, 'cpu', moved.message);
  assert.match(moved.device.reason, /not possible on the GPU/);
  agree(moved, cpu);
});

test('without an adapter, asking for WebGPU is no-gpu and the free choice is the CPU', async () => {
  const other = await launch(['--disable-features=WebGPU,WebGPUService', '--disable-gpu', '--disable-blink-features=WebGPU']);
  try {
    const page = await open(other);
    const found = await page.evaluate(async () => {
      const asked = await window.start({ backend: 'webgpu' }).catch(({ code }) => code);
      return { asked, free: (await window.start({})).engine.device };
    });
    assert.equal(found.asked, 'no-gpu');
    assert.equal(found.free.backend, 'cpu');
    assert.match(found.free.reason, /no GPU/);
  } finally {
    await other.close();
  }
});
