import type { BackendName, EngineOptions } from '../api.js';
import { RegraftError, toRegraftError } from '../errors.js';
import type { WasmBuild } from '../loader.js';
import type { Adapter, DeviceState } from '../protocol.js';
import { version } from '../version.js';
import type { WasmDevice, WasmModule } from '../wasm-module.js';
import { keepTiming, recallTiming, type Timing } from './timings.js';

/** The two kinds of work that may run on different backends. */
export type Phase = 'trunk' | 'training';

/** A slice of work on each backend: seconds it took, or an error where the backend cannot do it. */
export interface Slices { cpu(): Promise<number>; gpu(gpu: WasmDevice): Promise<number> }

/** A device that is lost more often is given up. */
const REBUILDS = 3;

/** Decides where plans run, and keeps the GPU: asks for it, notices its loss, gets it anew. */
export class EngineDevice {
  readonly cpu: WasmDevice;
  private gpu: WasmDevice | undefined;
  private state: DeviceState = { backend: 'cpu', reason: 'asked for' };
  private rebuilds = 0;
  private recovery: Promise<void> | undefined;
  private readonly timings = new Map<string, Timing>();
  /** GPUs whose tiles were timed. */
  private readonly tiled = new WeakSet<WasmDevice>();
  /** What was chosen last for each phase. */
  private readonly chosen = new Map<Phase, { onGpu: boolean; reason: string }>();

  constructor(
    private readonly wasm: WasmModule, private readonly build: WasmBuild, private readonly requested: NonNullable<EngineOptions['backend']>,
    private readonly changed: (device: DeviceState, cause: string | undefined) => void,
  ) {
    this.cpu = wasm.WasmDevice.cpu();
  }

  /** Looks for a GPU where one may be used, and be. Rejects with 'no-gpu' where it has to be used and there is none. */
  async start(mayHaveGpu: boolean): Promise<DeviceState> {
    if (this.requested === 'cpu') return this.state;
    try {
      if (!mayHaveGpu) throw noAdapter();
      const adapter = await findAdapter();
      this.gpu = await this.wasm.WasmDevice.webgpu();
      const reason = this.requested === 'webgpu' ? 'asked for' : 'there is a GPU; it is timed against the CPU when work begins';
      // Shaders on the CPU lose against SIMD on the CPU unless timing says otherwise.
      const backend = this.requested === 'auto' && adapter.software ? 'cpu' : 'webgpu';
      this.state = { backend, reason: adapter.software && this.requested === 'auto' ? 'the GPU adapter is software' : reason, adapter };
    } catch (error) {
      const { message } = toRegraftError(error);
      if (this.requested === 'webgpu') throw new RegraftError('no-gpu', message);
      this.state = { backend: 'cpu', reason: message };
    }
    return this.state;
  }

  /** The GPU, where it was asked for, or chosen for the first of these phases that a choice was made for: for work that is too short to be timed. */
  chosenFor(...phases: Phase[]): WasmDevice | undefined {
    const last = phases.map((phase) => this.chosen.get(phase)).find((choice) => choice !== undefined);
    return this.requested === 'webgpu' || last?.onGpu ? this.gpu : undefined;
  }

  /** Frees what waits on the GPU to be used again. */
  trim(): void {
    this.gpu?.trim();
  }

  /** Bytes on the GPU. */
  gpuBytes(): number {
    return this.gpu?.gpuBytes() ?? 0;
  }

  /**
   * The GPU, where a phase of work is to run on it; `key` tells one network from another. Where the choice is free, both run a slice, once
   * for an adapter, a build and a network.
   */
  async forPhase(phase: Phase, key: string, slices: Slices): Promise<WasmDevice | undefined> {
    await this.recovery;
    if (!this.gpu) return undefined;
    if (!this.tiled.has(this.gpu)) {
      this.tiled.add(this.gpu);
      // What may be wrong with the GPU shows in the work itself.
      await this.gpu.timeTiles(() => performance.now()).catch(() => undefined);
    }
    if (this.requested === 'webgpu') return this.gpu;
    const { vendor, architecture, description } = this.state.adapter ?? {};
    const choice = [phase, key, version, this.build, vendor, architecture, description].join(' ');
    let timing = this.timings.get(choice) ?? await recallTiming(choice);
    if (!timing) {
      timing = await this.time(slices);
      await keepTiming(choice, timing);
    }
    this.timings.set(choice, timing);
    const { cpu, gpu } = timing;
    const onGpu = gpu !== null && gpu < cpu;
    this.chosen.set(phase, { onGpu, reason: `${phase}: ${gpu === null ? 'not possible' : milliseconds(gpu)} on the GPU, ${milliseconds(cpu)} on the CPU` });
    const choices = [...this.chosen.values()];
    this.change(choices.some((it) => it.onGpu) ? 'webgpu' : 'cpu', choices.map((it) => it.reason).join('; '));
    return onGpu ? this.gpu : undefined;
  }

  /** Runs work on the GPU; on the CPU where there is none, where an op has no kernel, one is refused, or where its memory is too small. */
  async run<R>(gpu: WasmDevice | undefined, onGpu: (gpu: WasmDevice) => Promise<R>, onCpu: (cpu: WasmDevice) => Promise<R>): Promise<R> {
    let device = gpu;
    while (device) {
      try {
        return await onGpu(device);
      } catch (error) {
        device = await this.after(error, device);
      }
    }
    return onCpu(this.cpu);
  }

  /** Where work goes on that failed on a GPU: on the one that came back after a loss, else on the CPU. Other errors are thrown again. */
  async after(error: unknown, failed: WasmDevice): Promise<WasmDevice | undefined> {
    const { code, message } = toRegraftError(error);
    switch (code) {
      case 'device-lost':
        // Others may have noticed before.
        if (failed === this.gpu) this.recovery = this.recover(message).finally(() => (this.recovery = undefined));
        await this.recovery;
        return this.gpu;
      case 'no-gpu':
      case 'over-budget':
        this.change('cpu', message);
        return undefined;
      case 'internal':
        // The GPU refuses a kernel. Where it was asked for, that is to be known.
        if (this.requested === 'webgpu') throw error;
        this.change('cpu', message);
        return undefined;
      default:
        throw error;
    }
  }

  private async recover(cause: string): Promise<void> {
    this.gpu?.free();
    this.gpu = undefined;
    if (this.rebuilds++ < REBUILDS) this.gpu = await this.wasm.WasmDevice.webgpu().catch(() => undefined);
    if (this.gpu) this.changed(this.state, cause);
    else this.change('cpu', cause);
  }

  private async time(slices: Slices): Promise<Timing> {
    const cpu = await slices.cpu();
    const { gpu } = this;
    if (!gpu) return { cpu, gpu: null };
    try {
      return { cpu, gpu: await slices.gpu(gpu) };
    } catch (error) {
      const { code } = toRegraftError(error);
      if (code !== 'no-gpu' && code !== 'over-budget') await this.after(error, gpu);
      return { cpu, gpu: null };
    }
  }

  /** Another backend is an event; another reason is not. */
  private change(backend: BackendName, reason: string): void {
    const before = this.state;
    this.state = { ...before, backend, reason };
    if (backend !== before.backend) this.changed(this.state, reason);
    else if (reason !== before.reason) this.changed(this.state, undefined);
  }
}

function milliseconds(seconds: number): string {
  return `${(1000 * seconds).toPrecision(3)} ms`;
}

/** The parts of WebGPU's types that are asked here. */
interface Gpu { requestAdapter(options: object): Promise<{ info?: Partial<Record<'vendor' | 'architecture' | 'description', string>> & { isFallbackAdapter?: boolean } } | null> }

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render|warp/i;

function noAdapter(): RegraftError {
  return new RegraftError('no-gpu', 'no GPU: WebGPU has no adapter');
}

async function findAdapter(): Promise<Adapter> {
  const { gpu } = (globalThis as { navigator?: { gpu?: Gpu } }).navigator ?? {};
  if (!gpu) throw new RegraftError('no-gpu', 'no GPU: there is no WebGPU here');
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw noAdapter();
  const { vendor = '', architecture = '', description = '', isFallbackAdapter = false } = adapter.info ?? {};
  const software = isFallbackAdapter || SOFTWARE.test(`${vendor} ${architecture} ${description}`);
  return { vendor, architecture, description, software };
}
