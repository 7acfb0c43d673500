import type { Caller, FeaturizeContext, Trunk } from './featurize.js';
import { RegraftError } from '../errors.js';
import type { DataRef, DeviceState, FeaturesState, ModelState, Role } from '../protocol.js';
import type { Instance, WasmBuild } from '../loader.js';
import type { Cut, WasmDevice, WasmFeatures, WasmModel, WasmModule } from '../wasm-module.js';
import type { Decode } from './decode.js';
import { EngineDevice } from './device.js';
import { PLAIN, featurize } from './featurize.js';
import { GpuTrunk } from './gpu-trunk.js';
import { Handles } from './handles.js';
import { infoOf } from './info.js';
import { checkLabels, withLabelsOf } from './labels.js';
import { TrunkPool, type Starter } from './pool.js';
import { Queue } from './queue.js';
import { SampleStores } from './samples.js';

/** Settings of an engine; the budget in bytes. */
export type EngineSettings = Omit<Extract<Role, { kind: 'engine' }>, 'kind'>;

/** What an engine worker owns. */
export class EngineState implements FeaturizeContext {
  readonly pool: TrunkPool;
  readonly device: EngineDevice;
  readonly gpuTrunk: GpuTrunk;
  /** Runs of whole models on the GPU. */
  readonly runs = new Queue();
  /** The GPU on which a model ran last. */
  readonly ranOn = new WeakMap<WasmModel, WasmDevice>();
  readonly stores = new SampleStores();
  readonly models = new Handles<WasmModel>('model');
  readonly features = new Handles<WasmFeatures>('feature set');
  private peakBytes = 0;

  readonly wasm: WasmModule;

  constructor(
    readonly instance: Instance, build: WasmBuild, private readonly settings: EngineSettings, starter: Starter, decode: Decode,
    deviceChanged: (device: DeviceState, cause: string | undefined) => void,
  ) {
    const { wasm } = instance;
    this.wasm = wasm;
    this.pool = new TrunkPool(settings.threads, starter, decode);
    this.device = new EngineDevice(wasm, build, settings.backend, deviceChanged);
    this.gpuTrunk = new GpuTrunk(wasm, this.device, settings.threads);
  }

  reserve(bytes: number): void {
    const needed = this.bytes() + bytes;
    const { memoryBudget } = this.settings;
    if (needed > memoryBudget) throw new RegraftError('over-budget', `needs ${needed} bytes, the budget is ${memoryBudget}`);
  }

  memory(): { wasmBytes: number; gpuBytes: number; peakBytes: number; liveTensors: number } {
    const wasmBytes = this.bytes();
    return { wasmBytes, gpuBytes: this.device.gpuBytes(), peakBytes: this.peakBytes, liveTensors: this.wasm.memoryUse().liveTensors };
  }

  /** Takes a model in. */
  keep(model: WasmModel): ModelState {
    this.bytes();
    return { info: infoOf(model), reinitialized: model.reinitialized(), boundary: model.boundary(undefined), cutPoints: model.cutPoints(), model: this.models.add(model) };
  }

  /** Takes a feature set in. */
  keepFeatures(made: WasmFeatures): FeaturesState {
    this.bytes();
    const info = infoOf(made);
    return { features: this.features.add(made), info };
  }

  /** Runs `body` with the features of the data, and with the cut they belong to. */
  async withFeatures<R>(
    trunk: Trunk, data: DataRef, caller: Caller, body: (made: WasmFeatures, at: Cut) => R | Promise<R>, settings = PLAIN,
  ): Promise<R> {
    if (data.kind === 'features') {
      return this.features.use(data.features, 'shared', caller.signal, (made) => body(made, trunk.at ?? cutOf(trunk.model, made)));
    }
    const made = await featurize(this, trunk, data.samples, settings, caller);
    try {
      return await body(made, trunk.at);
    } finally {
      made.free();
    }
  }

  /** The same, where labels matter: classes are matched by name. */
  withLabelled<R>(
    { model, at }: Trunk, data: DataRef, caller: Caller, body: (made: WasmFeatures, at: Cut) => R | Promise<R>, settings = PLAIN,
  ): Promise<R> {
    const aligned: DataRef = data.kind === 'samples' ? { ...data, samples: withLabelsOf(model, data.samples) } : data;
    return this.withFeatures({ model, at }, aligned, caller, (made, cut) => {
      checkLabels(model, made);
      return body(made, cut);
    }, settings);
  }

  /** Bytes held by all workers: wasm memory, which never shrinks, and features kept outside of it. */
  private bytes(): number {
    const bytes = this.wasm.memoryUse().wasmBytes + this.pool.wasmBytes() + this.stores.bytes();
    this.peakBytes = Math.max(this.peakBytes, bytes);
    return bytes;
  }
}

/** Where a model is to be cut so that features fit: at its own frozen set, else after the vertices they are named after. */
function cutOf(model: WasmModel, features: WasmFeatures): Cut {
  const { trunkKey, tensors } = infoOf(features);
  return trunkKey === model.trunkKey(undefined) ? undefined : tensors.map(({ name }) => name);
}
