import type { Dataset, DatasetOptions, DeviceInfo, Engine, EngineOptions, FeatureSet, LoadOptions, Model, ModelSource, Sample } from '../api.js';
import { checkBackend } from '../backend.js';
import { Channel, aborted } from '../channel.js';
import { RegraftError, toRegraftError, toWire } from '../errors.js';
import type { Host, HostWorker } from '../host.js';
import { simdOf, type WasmBuild } from '../loader.js';
import type { DeviceState, EngineService, PageService, Role } from '../protocol.js';
import { readDataset } from './dataset.js';
import { StoredFeatures } from './features.js';
import { ModelProxy } from './model.js';
import { checkNumber, checkOptions } from './options.js';
import { Session } from './session.js';
import { toWireSource } from './source.js';

/** Starts the engine worker on a host. */
export async function startEngine(host: Host, options: EngineOptions): Promise<Engine> {
  const { backend, threads = host.threads(), memoryBudget = Infinity, assetsUrl, signal } = checkOptions(options, {
    backend: true, threads: true, memoryBudget: true, assetsUrl: true, signal: true,
  });
  const requested = checkBackend(backend);
  checkNumber('threads', threads, 1, Infinity, 'integer');
  checkNumber('memoryBudget', memoryBudget, 1, Infinity);
  if (signal?.aborted) throw aborted();
  const start = (build: WasmBuild): Promise<Engine> => {
    const module = host.compile(build, assetsUrl, signal);
    return startOn(host, build, module, { threads, memoryBudget, backend: requested }, signal);
  };
  const build = host.build(threads > 1);
  return start(build).catch((error: unknown) => {
    // A shared memory reserves the addresses of all it may grow to, which small devices do not give.
    const other = host.build(false);
    if (error instanceof RangeError && other !== build) return start(other);
    throw error;
  });
}

/** The worker's script is loaded while the module is compiled, and this thread's instance is made while the engine starts. */
async function startOn(
  host: Host, build: WasmBuild, compiling: Promise<WebAssembly.Module>, settings: EngineSettings, signal: AbortSignal | undefined,
): Promise<Engine> {
  const { threads } = settings;
  const workers = new Workers(host, build, compiling);
  const { port1, port2 } = new MessageChannel();
  const channel: Channel<EngineService, PageService> = new Channel<EngineService, PageService>(port1, {
    startWorker: ({ worker, role, memory }) => workers.start(worker, role, memory, (error) => (
      void channel.call('workerFailed', { worker, error: toWire(error) }).catch(() => undefined))),
    startThreads: ({ threads: count, memory }) => {
      // The engine may be waiting for what a failed thread had taken.
      for (let n = 1; n <= count; n++) workers.start(ENGINE - n, { kind: 'thread' }, memory, (error) => channel.close(error));
    },
    stopWorker: ({ worker }) => workers.stop(worker),
    deviceChanged: ({ device, cause }) => engine?.deviceChanged(device, cause),
  });
  let engine: EngineProxy | undefined;
  workers.start(ENGINE, { kind: 'engine', port: port2, ...settings }, undefined, (error) => channel.close(error));
  const wasm = compiling.then((module) => host.instantiate(module, build));
  const gpu = settings.backend === 'cpu' ? Promise.resolve(true) : host.mayHaveGpu();
  const started = gpu.then((mayHaveGpu) => channel.call('start', { mayHaveGpu }, { signal }));
  const [instance, state] = await Promise.all([wasm, started]).catch(async (error: unknown) => {
    workers.stopAll();
    channel.close(toRegraftError(error));
    // What went wrong in this thread tells more than what it did to the worker.
    await wasm;
    throw error;
  });
  engine = new EngineProxy(host, { ...state, simd: simdOf(build), threads }, new Session(channel, threads, instance), workers);
  return engine;
}

/** What the engine worker is told. */
type EngineSettings = Omit<Extract<Role, { kind: 'engine' }>, 'kind' | 'port'>;

/** The engine worker's number. Those of the pool count from 0, the engine's threads down from here. */
const ENGINE = -1;

/** The workers of one engine, by number. */
class Workers {
  private readonly running = new Map<number, HostWorker>();

  constructor(private readonly host: Host, private readonly build: WasmBuild, private readonly compiling: Promise<WebAssembly.Module>) {}

  start(number: number, role: Role, memory: WebAssembly.Memory | undefined, onFailure: (error: RegraftError) => void): void {
    const worker = this.host.startWorker((reason) => {
      this.stop(number);
      onFailure(new RegraftError('internal', `a worker ended: ${reason}`));
    });
    this.running.set(number, worker);
    // Where nothing can be loaded, the engine does not start, and stops its workers.
    void this.compiling.then((module) => worker.boot({ role, memory, module, build: this.build }), () => undefined);
  }

  stop(number: number): void {
    this.running.get(number)?.terminate();
    this.running.delete(number);
  }

  stopAll(): void {
    for (const number of [...this.running.keys()]) this.stop(number);
  }
}

class EngineProxy implements Engine {
  private readonly listeners = new Set<(device: DeviceInfo, cause: string) => void>();

  constructor(
    private readonly host: Host, public device: DeviceInfo, private readonly session: Session, private readonly workers: Workers,
  ) {}

  async load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
    const { format, architecture, labels, preprocessing, integrity, cache = true, onProgress, signal } = checkOptions(options, {
      format: true, architecture: true, labels: true, preprocessing: true, integrity: true, cache: true, onProgress: true, signal: true,
    });
    const wire = await toWireSource(this.host, source, architecture);
    const args = { ...wire, cache, options: { format, labels, preprocessing, integrity } };
    return new ModelProxy(this.session, await this.session.channel.call('load', args, { signal, onProgress }));
  }

  dataset(samples: Iterable<Sample> | AsyncIterable<Sample>, options: DatasetOptions = {}): Promise<Dataset> {
    return readDataset(this.session, samples, options);
  }

  async loadFeatures(bytes: Uint8Array | Blob): Promise<FeatureSet> {
    return new StoredFeatures(this.session, await this.session.channel.call('loadFeatures', bytes));
  }

  async memory(): ReturnType<Engine['memory']> {
    return this.session.channel.call('memory', undefined);
  }

  onDeviceChange(listener: (device: DeviceInfo, cause: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Takes over what the engine worker says. */
  deviceChanged(state: DeviceState, cause: string | undefined): void {
    this.device = { ...this.device, ...state };
    if (cause !== undefined) for (const listener of [...this.listeners]) listener(this.device, cause);
  }

  async dispose(): Promise<void> {
    this.session.channel.close(new RegraftError('disposed', 'the engine was disposed'));
    this.workers.stopAll();
  }
}
