import { Channel, type CallContext, type Handlers } from '../channel.js';
import type { History, Prediction, Progress } from '../api.js';
import type { EngineService, FitArgs, LoadArgs, ModelRef, PageService } from '../protocol.js';
import type { Instance, WasmBuild } from '../loader.js';
import type { WasmDevice, WasmFeatures, WasmModel } from '../wasm-module.js';
import type { Decode } from './decode.js';
import { featurize, type Caller, type Trunk } from './featurize.js';
import { fit, isDisposed, nothingTrained } from './fit.js';
import { infoOf } from './info.js';
import { inOrderOf } from './labels.js';
import { sha256 } from './integrity.js';
import { topPredictions } from './predictions.js';
import { readSource } from './source.js';
import { EngineState, type EngineSettings } from './state.js';

/** Classes that predict() gives where the caller does not say how many. */
const TOP_K = 5;

/** Serves the engine worker: owns models, features and training. */
export function serveEngine(port: MessagePort, instance: Instance, build: WasmBuild, settings: EngineSettings, decode: Decode): void {
  const { shared } = instance;
  const state = new EngineState(instance, build, settings, {
    start: (worker, role) => void page.call('startWorker', { worker, role, memory: shared?.memory }, { transfer: [role.port] }),
    stop: (worker) => void page.call('stopWorker', { worker }),
  }, decode, (device, cause) => void page.call('deviceChanged', { device, cause }));
  const handlers = { ...modelHandlers(state), ...dataHandlers(state), ...featureHandlers(state) };
  const page = new Channel<PageService, EngineService>(port, handlers);
  if (shared && settings.threads > 1) {
    shared.wasm.startThreads(settings.threads);
    void page.call('startThreads', { threads: settings.threads - 1, memory: shared.memory });
  }
}

type Part<K extends keyof EngineService> = Pick<Handlers<EngineService>, K>;

function modelHandlers(state: EngineState): Part<
  'load' | 'edit' | 'classifier' | 'run' | 'predict' | 'predictAll' | 'fit' | 'evaluate' | 'gradCam' | 'export' | 'releaseModel'
> {
  const { models, pool } = state;
  /** Runs a call on a model that others may use meanwhile. */
  const using = <R>(model: number, { signal }: CallContext<never>, body: (model: WasmModel) => R | Promise<R>): Promise<R> => (
    models.use(model, 'shared', signal, body));
  /** The same on the trainable part alone, where that is meant. */
  const usingPart = <R>({ model, tail }: ModelRef, context: CallContext<never>, body: (model: WasmModel) => R | Promise<R>): Promise<R> => using(model, context, async (it) => {
    const part = tail ? it.unfrozen(tail.at) : it;
    try {
      return await body(part);
    } finally {
      if (tail) part.free();
    }
  });
  /** The same for calls that take long. */
  const working = <R>(model: number, { signal, progress }: CallContext<Progress>, body: (trunk: Trunk, caller: Caller) => Promise<R>): Promise<R> => (
    models.use(model, 'shared', signal, (it, until) => body({ model: it, at: undefined }, { signal: until, progress })));

  return {
    load: async (args, { signal, progress }) => {
      const files = await readSource(args, signal, progress);
      signal.throwIfAborted();
      progress({ phase: 'parse', loaded: 0, total: 1 });
      const model = await loadFiles(state, args, files);
      progress({ phase: 'parse', loaded: 1, total: 1 });
      return state.keep(model);
    },
    edit: ({ edits, ...part }, context) => usingPart(part, context, (it) => state.keep(it.edit(edits))),
    classifier: ({ options, ...part }, context) => usingPart(part, context, (it) => state.keep(it.classifier(options))),
    run: ({ inputs, outputs, ...part }, context) => usingPart(part, context, async (it) => (
      state.device.run(state.device.chosenFor('trunk'), (gpu) => onGpu(state, it, gpu, () => it.runOn(gpu, inputs, outputs)), async () => it.run(inputs, outputs)))),
    predict: ({ model, image, topK = TOP_K }, context) => using(model, context, async (it) => {
      const inPool = async (): Promise<Prediction[]> => {
        const decoding = pool.pixels({ image }, context.signal);
        const planning = Promise.resolve().then(() => it.planPredict());
        const [{ data, width, height, channels }] = await Promise.all([decoding, planning]);
        return it.predict(data, width, height, channels, topK);
      };
      const pixelsOnGpu = async (gpu: WasmDevice): Promise<Prediction[]> => {
        const pixels = await pool.preprocess(infoOf(it).preprocessing, { image }, undefined, context.signal);
        return onGpu(state, it, gpu, () => it.predictOn(gpu, pixels, topK));
      };
      return state.device.run(state.device.chosenFor('trunk'), pixelsOnGpu, inPool);
    }),
    predictAll: ({ model, samples, topK = TOP_K }, context) => working(model, context, (trunk, caller) => (
      state.withFeatures(trunk, { kind: 'samples', samples }, caller, async (made, at) => (
        topPredictions(trunk.model, await onTail(state, (on) => trunk.model.outputFromFeatures(on, made, at)), topK))))),
    fit: (args, { signal, progress }) => models.use(args.model, 'exclusive', signal, (model, until) => (
      fitOn(state, { model, at: args.at }, args, {
        signal: until,
        progress: (it) => progress({ kind: 'progress', progress: it }),
        checkpoint: (bytes) => progress({ kind: 'checkpoint', bytes }),
      }))),
    evaluate: ({ model, data, topN }, context) => working(model, context, (trunk, caller) => (
      state.withLabelled(trunk, data, caller, (made, at) => onTail(state, (on) => trunk.model.evaluate(on, made, { topN }, at))))),
    gradCam: ({ model, image, label, at }, context) => using(model, context, async (it) => {
      const { data, width, height, channels } = await pool.pixels({ image }, context.signal);
      const map = it.gradCam(data, width, height, channels, label, at);
      context.transfer(map.data.buffer);
      return map;
    }),
    export: ({ format, options, ...part }, context) => usingPart(part, context, (it) => {
      const { files, verified } = it.export(format, options);
      context.transfer(...[...files.values()].map((bytes) => bytes.buffer));
      return { files: Object.fromEntries(files), verified };
    }),
    releaseModel: (model) => {
      models.release(model);
      state.gpuTrunk.release();
    },
  };
}

/** Runs a model on the GPU, where it keeps its plans. */
function onGpu<R>({ runs, ranOn }: EngineState, model: WasmModel, gpu: WasmDevice, work: () => Promise<R>): Promise<R> {
  return runs.run(() => {
    // A device that was lost leaves nothing behind.
    if (ranOn.get(model) !== gpu) model.forgetGpu();
    ranOn.set(model, gpu);
    return work();
  });
}

/** Runs a tail where it was trained, or where trunks run. */
function onTail<R>({ device }: EngineState, work: (on: WasmDevice) => Promise<R>): Promise<R> {
  return device.run(device.chosenFor('training', 'trunk'), work, work);
}

function dataHandlers({ stores, pool }: EngineState): Part<'addSample' | 'releaseStore'> {
  return {
    addSample: async ({ store, index, id, image, check, same }, { signal }) => {
      const stored = stores.add(store, index, id, image);
      if ((same && stores.share(same, { store, index })) || !check) return;
      await pool.check(stored, signal).catch((error: unknown) => {
        stores.drop(store, index);
        throw error;
      });
    },
    releaseStore: (store) => {
      stores.release(store);
      pool.forget(`${store}/`);
    },
  };
}

function featureHandlers(state: EngineState): Part<
  'featurize' | 'outputFromFeatures' | 'loadFeatures' | 'selectFeatures' | 'featureTensors' | 'saveFeatures' | 'releaseFeatures' | 'start' | 'memory' | 'workerFailed'
> {
  const { models, features, pool } = state;
  const using = <R>(handle: number, { signal }: CallContext<never>, body: (made: WasmFeatures) => R | Promise<R>): Promise<R> => (
    features.use(handle, 'shared', signal, body));

  return {
    featurize: ({ model, at, samples, settings }, { signal, progress }) => models.use(model, 'shared', signal, async (it, until) => (
      state.keepFeatures(await featurize(state, { model: it, at }, inOrderOf(it, samples), settings, { signal: until, progress })))),
    outputFromFeatures: ({ model, at, features: handle }, context) => models.use(model, 'shared', context.signal, (it) => (
      using(handle, context, (made) => onTail(state, (on) => it.outputFromFeatures(on, made, at))))),
    loadFeatures: async (bytes) => {
      const whole = bytes instanceof Blob ? new Uint8Array(await bytes.arrayBuffer()) : bytes;
      state.reserve(whole.byteLength);
      return state.keepFeatures(state.wasm.WasmFeatures.load(whole));
    },
    selectFeatures: ({ features: handle, images, as }, context) => using(handle, context, (it) => void features.add(it.select(images), as)),
    featureTensors: (handle, context) => using(handle, context, (it) => it.toTensors()),
    saveFeatures: (handle, context) => using(handle, context, (it) => {
      const bytes = it.save();
      context.transfer(bytes.buffer);
      return bytes;
    }),
    releaseFeatures: (handle) => features.release(handle),
    start: ({ mayHaveGpu }) => state.device.start(mayHaveGpu),
    memory: () => state.memory(),
    workerFailed: ({ worker, error }) => pool.failed(worker, error),
  };
}

async function loadFiles(state: EngineState, { architecture, options }: LoadArgs, files: Map<string, Uint8Array>): Promise<WasmModel> {
  state.reserve([...files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0));
  const { format, labels, preprocessing } = options;
  const [only, ...others] = files.values();
  // The platform makes the digest of a file in another thread; of several, the engine knows which one it is of.
  const digest = only && others.length === 0 ? sha256(only) : undefined;
  const model = state.wasm.WasmModel.load(files, { format, architecture, labels, preprocessing, digest: digest === undefined });
  if (digest) model.setDigest(await digest);
  return model;
}

async function fitOn(
  state: EngineState, trunk: Trunk, { train, validation, featurize: featurizing, settings, resumeFrom, checkpoints }: FitArgs,
  caller: Caller & { checkpoint(bytes: Uint8Array): void },
): Promise<History> {
  const seconds = { featurize: 0, train: 0 };
  const start = performance.now();
  const withValidation = <R>(body: (made: WasmFeatures | undefined) => Promise<R>): Promise<R> => (
    validation === undefined ? body(undefined) : state.withLabelled(trunk, validation, caller, body));
  let history: Omit<History, 'seconds'> = nothingTrained();
  try {
    await state.withLabelled(trunk, train, caller, (rows) => withValidation(async (measured) => {
      seconds.featurize = (performance.now() - start) / 1000;
      const how = { settings, resumeFrom, onCheckpoint: checkpoints ? caller.checkpoint : undefined };
      history = await fit(state.wasm, state.device, trunk, { train: rows, validation: measured }, how, caller);
      seconds.train = (performance.now() - start) / 1000 - seconds.featurize;
    }), featurizing);
  } catch (error) {
    if (!caller.signal.aborted || isDisposed(caller.signal)) throw error;
  }
  return { ...history, seconds };
}
