import type { History } from '../api.js';
import { Channel, type Handlers } from '../channel.js';
import { RegraftError } from '../errors.js';
import type { DataRef, EngineService, FeaturesState, FitArgs, LoadArgs, ModelState, PageService } from '../protocol.js';
import type { Cut, WasmFeatures, WasmModel, WasmModule } from '../wasm-module.js';
import { featurize, type Caller, type FeaturizeContext, type Trunk } from './featurize.js';
import { fit, isDisposed, nothingTrained } from './fit.js';
import { Handles } from './handles.js';
import { checkLabels, inOrderOf, withLabelsOf } from './labels.js';
import { TrunkPool } from './pool.js';
import { topPredictions } from './predictions.js';
import { SampleStores } from './samples.js';
import { readSource } from './source.js';

/** Classes that predict() gives where the caller does not say how many. */
const TOP_K = 5;

/** Serves the engine worker: owns models, features and training. */
export function serveEngine(port: MessagePort, wasm: WasmModule, settings: { threads: number; memoryBudget: number }): void {
  const worker = new EngineWorker(wasm, settings, {
    start: (id, workerPort, role) => void page.call('startWorker', { worker: id, port: workerPort, role }, { transfer: [workerPort] }),
    stop: (id) => void page.call('stopWorker', { worker: id }),
  });
  const page = new Channel<PageService, EngineService>(port, worker.handlers());
}

class EngineWorker implements FeaturizeContext {
  readonly pool: TrunkPool;
  readonly stores = new SampleStores();
  private readonly models = new Handles<WasmModel>('model');
  private readonly features = new Handles<WasmFeatures>('feature set');
  private peakBytes = 0;

  constructor(readonly wasm: WasmModule, private readonly settings: { threads: number; memoryBudget: number }, starter: ConstructorParameters<typeof TrunkPool>[1]) {
    this.pool = new TrunkPool(settings.threads, starter);
  }

  /** One function for each method of the service. */
  handlers(): Handlers<EngineService> {
    const { models, features, stores, pool } = this;
    return {
      load: async (args, { signal, progress }) => {
        const files = await readSource(args, signal, progress);
        signal.throwIfAborted();
        progress({ phase: 'parse', loaded: 0, total: 1 });
        const state = this.load(args, files);
        progress({ phase: 'parse', loaded: 1, total: 1 });
        return state;
      },
      edit: ({ model, edits }, { signal }) => models.use(model, 'shared', signal, (it) => this.keep(it.edit(edits))),
      classifier: ({ model, options }, { signal }) => models.use(model, 'shared', signal, (it) => this.keep(it.classifier(options))),
      run: ({ model, inputs, outputs }, { signal }) => models.use(model, 'shared', signal, (it) => it.run(inputs, outputs)),
      predict: ({ model, image, topK = TOP_K }, { signal }) => models.use(model, 'shared', signal, async (it, until) => {
        const { data, width, height, channels } = await pool.pixels({ image }, until);
        return it.predict(data, width, height, channels, topK);
      }),
      predictAll: ({ model, samples, topK = TOP_K }, { signal, progress }) => models.use(model, 'shared', signal, (it, until) => (
        this.withFeatures({ model: it, at: undefined }, { kind: 'samples', samples }, { signal: until, progress }, (made, at) => (
          topPredictions(it, it.outputFromFeatures(made, at), topK))))),
      fit: (args, { signal, progress }) => models.use(args.model, 'exclusive', signal, (it, until) => (
        this.fit({ model: it, at: args.at }, args, { signal: until, progress }))),
      evaluate: ({ model, data, topN }, { signal, progress }) => models.use(model, 'shared', signal, (it, until) => (
        this.withLabelled({ model: it, at: undefined }, data, { signal: until, progress }, (made, at) => it.evaluate(made, { topN }, at)))),
      export: ({ model, format, options }, { signal, transfer }) => models.use(model, 'shared', signal, (it) => {
        const { files, verified } = it.export(format, options);
        transfer(...[...files.values()].map((bytes) => bytes.buffer));
        return { files: Object.fromEntries(files), verified };
      }),
      releaseModel: (model) => models.release(model),

      addSample: async ({ store, index, id, image, check }, { signal }) => {
        const stored = stores.add(store, index, id, image);
        if (check) await pool.check(stored, signal).catch((error: unknown) => { stores.drop(store, index); throw error; });
      },
      releaseStore: (store) => {
        stores.release(store);
        pool.forget(`${store}/`);
      },

      featurize: ({ model, at, samples, dtype }, { signal, progress }) => models.use(model, 'shared', signal, async (it, until) => (
        this.keepFeatures(await featurize(this, { model: it, at }, inOrderOf(it, samples), dtype, { signal: until, progress })))),
      outputFromFeatures: ({ model, at, features: handle }, { signal }) => models.use(model, 'shared', signal, (it) => (
        features.use(handle, 'shared', signal, (made) => it.outputFromFeatures(made, at)))),
      loadFeatures: async (bytes) => {
        const whole = bytes instanceof Blob ? new Uint8Array(await bytes.arrayBuffer()) : bytes;
        this.reserve(whole.byteLength);
        return this.keepFeatures(this.wasm.WasmFeatures.load(whole));
      },
      selectFeatures: ({ features: handle, rows, as }, { signal }) => features.use(handle, 'shared', signal, (it) => {
        features.add(it.select(rows), as);
      }),
      featureTensors: (handle, { signal }) => features.use(handle, 'shared', signal, (it) => it.toTensors()),
      saveFeatures: (handle, { signal, transfer }) => features.use(handle, 'shared', signal, (it) => {
        const bytes = it.save();
        transfer(bytes.buffer);
        return bytes;
      }),
      releaseFeatures: (handle) => features.release(handle),

      memory: () => {
        const { liveTensors } = this.wasm.memory();
        return { wasmBytes: this.bytes(), peakBytes: this.peakBytes, liveTensors };
      },
      workerFailed: ({ worker, error }) => pool.failed(worker, error),
    };
  }

  reserve(bytes: number): void {
    const needed = this.bytes() + bytes;
    const { memoryBudget } = this.settings;
    if (needed > memoryBudget) throw new RegraftError('over-budget', `needs ${needed} bytes, the budget is ${memoryBudget}`);
  }

  /** Bytes held by all workers: wasm memory, which never shrinks, and features kept outside of it. */
  private bytes(): number {
    const bytes = this.wasm.memory().wasmBytes + this.pool.wasmBytes() + this.stores.bytes();
    this.peakBytes = Math.max(this.peakBytes, bytes);
    return bytes;
  }

  private load({ architecture, options }: LoadArgs, files: Map<string, Uint8Array>): ModelState {
    const bytes = [...files.values()].reduce((sum, file) => sum + file.byteLength, 0);
    this.reserve(bytes);
    const { format, labels, preprocessing } = options;
    return this.keep(this.wasm.WasmModel.load(files, { format, architecture, labels, preprocessing }));
  }

  private keep(model: WasmModel): ModelState {
    this.bytes();
    const state = { info: model.info(), summary: model.summary(), reinitialized: model.reinitialized(), boundary: model.boundary(undefined) };
    return { model: this.models.add(model), ...state };
  }

  private keepFeatures(made: WasmFeatures): FeaturesState {
    const info = made.info();
    this.bytes();
    return { features: this.features.add(made), info };
  }

  private async fit(trunk: Trunk, { train, validation, settings }: FitArgs, caller: Caller): Promise<History> {
    const seconds = { featurize: 0, train: 0 };
    const start = performance.now();
    let history = nothingTrained();
    try {
      await this.withLabelled(trunk, train, caller, (rows) => (
        this.withOptional(trunk, validation, caller, async (measured) => {
          seconds.featurize = (performance.now() - start) / 1000;
          history = await fit(this.wasm, trunk, { train: rows, validation: measured }, settings, caller);
          seconds.train = (performance.now() - start) / 1000 - seconds.featurize;
        })));
    } catch (error) {
      if (!caller.signal.aborted || isDisposed(caller.signal)) throw error;
    }
    return { ...history, seconds };
  }

  /** Runs `body` with the features of the data, and with the cut they belong to. */
  private async withFeatures<R>(trunk: Trunk, data: DataRef, caller: Caller, body: (made: WasmFeatures, at: Cut) => R | Promise<R>): Promise<R> {
    if (data.kind === 'features') {
      return this.features.use(data.features, 'shared', caller.signal, (made) => body(made, trunk.at ?? cutOf(trunk.model, made)));
    }
    const made = await featurize(this, trunk, data.samples, 'f32', caller);
    try {
      return await body(made, trunk.at);
    } finally {
      made.free();
    }
  }

  /** The same, where the labels matter. */
  private withLabelled<R>({ model, at }: Trunk, data: DataRef, caller: Caller, body: (made: WasmFeatures, at: Cut) => R | Promise<R>): Promise<R> {
    const aligned: DataRef = data.kind === 'samples' ? { ...data, samples: withLabelsOf(model, data.samples) } : data;
    return this.withFeatures({ model, at }, aligned, caller, (made, cut) => {
      checkLabels(model, made);
      return body(made, cut);
    });
  }

  private async withOptional<R>(trunk: Trunk, data: DataRef | undefined, caller: Caller, body: (made: WasmFeatures | undefined) => Promise<R>): Promise<R> {
    return data === undefined ? body(undefined) : this.withLabelled(trunk, data, caller, body);
  }
}

/** Where a model is to be cut so that features fit: at its own frozen set, else after the vertices they are named after. */
function cutOf(model: WasmModel, features: WasmFeatures): Cut {
  const { trunkKey, tensors } = features.info();
  return trunkKey === model.trunkKey(undefined) ? undefined : tensors.map(({ name }) => name);
}
