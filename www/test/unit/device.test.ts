import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { EngineOptions } from '../../src/api.js';
import { RegraftError } from '../../src/errors.js';
import type { DeviceState } from '../../src/protocol.js';
import type { WasmDevice, WasmModule } from '../../src/wasm-module.js';
import { EngineDevice } from '../../src/worker/device.js';
import { fakeWasm } from '../fake.js';

const HARDWARE = { vendor: 'someone', architecture: 'fast' };
const SOFTWARE = { vendor: 'google', architecture: 'swiftshader' };
const navigator = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
afterEach(() => {
  if (navigator) Object.defineProperty(globalThis, 'navigator', navigator);
});

interface Started { device: EngineDevice; state: DeviceState; events: (string | undefined)[]; made: WasmDevice[] }

/** An engine's device on a machine with this adapter, that gives as many devices as it is asked for, or fewer. */
async function start(backend: NonNullable<EngineOptions['backend']>, info: object | undefined, devices = Infinity): Promise<Started> {
  const gpu = { requestAdapter: async () => info && { info } };
  Object.defineProperty(globalThis, 'navigator', { value: info ? { gpu } : {}, configurable: true });
  const made: WasmDevice[] = [];
  const plain = fakeWasm({ trunkRuns: 0, decodes: 0, live: 0, workers: 0, trunkLoads: 0 });
  const webgpu = async (): Promise<WasmDevice> => {
    if (made.length >= devices) throw new Error('no device');
    made.push(plain.WasmDevice.cpu());
    return made.at(-1)!;
  };
  const wasm: WasmModule = { ...plain, WasmDevice: { ...plain.WasmDevice, webgpu } };
  const events: (string | undefined)[] = [];
  const device = new EngineDevice(wasm, 'simd128', backend, (_, cause) => events.push(cause));
  return { device, state: await device.start(true), events, made };
}

const slices = (cpu: number, gpu: number | RegraftError) => ({
  cpu: async () => cpu,
  gpu: async () => {
    if (gpu instanceof RegraftError) throw gpu;
    return gpu;
  },
});
const lost = (): RegraftError => new RegraftError('device-lost', 'gone');

test('what was asked for is taken, untimed', async () => {
  const cpu = await start('cpu', HARDWARE);
  assert.deepEqual(cpu.state, { backend: 'cpu', reason: 'asked for' });
  assert.equal(await cpu.device.forPhase('trunk', 'net', slices(1, 0)), undefined);
  const gpu = await start('webgpu', SOFTWARE);
  assert.equal(gpu.state.backend, 'webgpu');
  assert.equal(gpu.state.adapter?.software, true);
  assert.equal(await gpu.device.forPhase('trunk', 'net', slices(0, 1)), gpu.made[0]);
});

test('without an adapter or a device, WebGPU is no-gpu and the free choice is the CPU', async () => {
  await assert.rejects(start('webgpu', undefined), { code: 'no-gpu' });
  await assert.rejects(start('webgpu', HARDWARE, 0), { code: 'no-gpu' });
  const free = await start('auto', undefined);
  assert.equal(free.state.backend, 'cpu');
  assert.match(free.state.reason, /no WebGPU/);
});

test('each phase runs where it was faster, and is timed once', async () => {
  const { device, state, events, made } = await start('auto', HARDWARE);
  assert.equal(state.backend, 'webgpu');
  assert.equal(await device.forPhase('trunk', 'net', slices(0.02, 0.01)), made[0]);
  assert.equal(await device.forPhase('training', 'net', slices(0.001, 0.002)), undefined);
  assert.equal(await device.forPhase('training', 'net', slices(9, 0)), undefined, 'known already');
  assert.equal(await device.forPhase('training', 'other net', slices(9, 0)), made[0]);
  assert.deepEqual(events.filter((cause) => cause !== undefined), [], 'the backend was WebGPU all the time');
});

test('what is not timed runs where like work was chosen to', async () => {
  const { device, made } = await start('auto', HARDWARE);
  assert.equal(device.chosenFor('training', 'trunk'), undefined, 'nothing was chosen');
  await device.forPhase('trunk', 'net', slices(0.02, 0.01));
  assert.equal(device.chosenFor('training', 'trunk'), made[0]);
  await device.forPhase('training', 'net', slices(0.001, 0.002));
  assert.equal(device.chosenFor('training', 'trunk'), undefined);
  assert.equal(device.chosenFor('trunk'), made[0]);
  const asked = await start('webgpu', SOFTWARE);
  assert.equal(asked.device.chosenFor('training'), asked.made[0]);
});

test('software loses unless it wins the timing', async () => {
  const { device, state, made } = await start('auto', SOFTWARE);
  assert.equal(state.backend, 'cpu');
  assert.match(state.reason, /software/);
  assert.equal(await device.forPhase('trunk', 'net', slices(0.01, 0.2)), undefined);
  assert.equal(await device.forPhase('trunk', 'other net', slices(0.2, 0.01)), made[0]);
});

test('what has no kernel or no room on the GPU goes to the CPU', async () => {
  for (const code of ['no-gpu', 'over-budget'] as const) {
    const { device, events } = await start('webgpu', HARDWARE);
    const gpu = await device.forPhase('trunk', 'net', slices(1, 1));
    const ran = await device.run(gpu, async () => { throw new RegraftError(code, 'not there'); }, async () => 'cpu');
    assert.equal(ran, 'cpu');
    assert.deepEqual(events, ['not there']);
    const free = await start('auto', HARDWARE);
    assert.equal(await free.device.forPhase('trunk', 'net', slices(1, new RegraftError(code, 'not there'))), undefined);
  }
});

test('a lost device is made anew, at most three times', async () => {
  const { device, events, made } = await start('webgpu', HARDWARE);
  const ran: (WasmDevice | undefined)[] = [];
  const result = await device.run(await device.forPhase('trunk', 'net', slices(1, 1)), async (gpu) => {
    ran.push(gpu);
    throw lost();
  }, async () => 'cpu');
  assert.equal(result, 'cpu');
  assert.deepEqual([ran.length, made.length, events.length], [4, 4, 4]);
});

test('two that notice the same loss get the same new device', async () => {
  const { device, made } = await start('webgpu', HARDWARE);
  const [old] = made;
  assert.deepEqual(await Promise.all([device.after(lost(), old!), device.after(lost(), old!)]), [made[1], made[1]]);
  assert.equal(await device.after(lost(), old!), made[1]);
  assert.equal(made.length, 2);
});

test('other errors are the caller’s', async () => {
  const { device } = await start('webgpu', HARDWARE);
  const gpu = await device.forPhase('trunk', 'net', slices(1, 1));
  await assert.rejects(device.run(gpu, async () => { throw new RegraftError('internal', 'a defect'); }, async () => 'cpu'), { code: 'internal' });
});
