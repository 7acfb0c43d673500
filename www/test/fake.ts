// A stand-in for the wasm module: real bookkeeping, toy arithmetic. Engine and workers run on it in one thread.
import { startEngine } from '../src/client/engine.js';
import { RegraftError } from '../src/errors.js';
import type { Engine, EngineOptions } from '../src/api.js';
import type { Host } from '../src/host.js';
import type { Pixels, WireImage } from '../src/protocol.js';
import type { FeaturesInfo, IndexSplit, ModelInfo, StoppedBy, TrainStatus, WasmFeatures, WasmModel, WasmModule, WasmTrainer, WasmTrunk } from '../src/wasm-module.js';
import { serveEngine } from '../src/worker/engine.js';
import { serveTrunk } from '../src/worker/trunk.js';

/** What happened in the fake, for tests to look at. */
export interface Log { trunkRuns: number; decodes: number; live: number; workers: number; trunkLoads: number }

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const vertex = (name: string, inputs: string[], frozen: boolean): ModelInfo['vertices'][number] => (
  { name, type: 'Dense', inputs, outputShape: [null, 2], parameters: 4, frozen, macs: 4 });

/** Vertices: x → trunk → head. */
function modelInfo(labels: readonly string[]): ModelInfo {
  return {
    inputs: [{ name: 'x', shape: [null, 2], dtype: 'f32' }], outputs: [{ name: 'head', shape: [null, 2], dtype: 'f32' }],
    vertices: [vertex('trunk', ['x'], true), vertex('head', ['trunk'], false)], labels: [...labels],
    preprocessing: { size: { width: 1, height: 1 }, fit: 'crop', cropFraction: 1, resample: 'bilinear', channelOrder: 'rgb', scale: 1, mean: [0, 0, 0], std: [1, 1, 1] },
    parameters: { total: 8, trainable: 4, frozen: 4 },
  };
}

function splitAt(count: number, fraction: number): IndexSplit {
  const all = Uint32Array.from({ length: count }, (_, index) => index);
  const cut = Math.round(count * fraction);
  return { train: all.slice(0, cut), test: all.slice(cut) };
}

/** A module whose trainer takes `iterations` slices. */
export function fakeWasm(log: Log, iterations = 4): WasmModule {
  const counted = <T extends { free(): void }>(object: Omit<T, 'free'>): T => {
    log.live++;
    return { ...object, free: () => void log.live-- } as T;
  };
  const unused = (): never => { throw new Error('not in the fake'); };

  const features = (info: FeaturesInfo, rows: Float32Array[]): WasmFeatures => counted<WasmFeatures>({
    set(index: number, target: Float32Array, id: string, group: number, row: Float32Array) {
      info.rowLabels[index] = target.indexOf(Math.max(...target));
      info.rowGroups[index] = group;
      info.ids[index] = id;
      rows[index] = row;
    },
    info: () => info,
    toTensors: () => ({ trunk: { dtype: 'f32' as const, shape: [rows.length, 2], data: Float32Array.from(rows.flatMap((row) => [...row])) } }),
    select: (picked: Uint32Array) => features(
      { ...info, count: picked.length, ids: Array.from(picked, (at) => info.ids[at]!), rowLabels: picked.map((at) => info.rowLabels[at]!), rowGroups: Int32Array.from(picked, (at) => info.rowGroups[at]!) },
      Array.from(picked, (at) => rows[at]!)),
    save: () => new Uint8Array([1, 2, 3]),
    share: () => features(info, rows),
  });

  const model = (labels: readonly string[], key: string): WasmModel => counted<WasmModel>({
    info: () => modelInfo(labels),
    run: unused,
    runOn: unused,
    edit: (edits) => {
      const bad = edits.find((edit) => 'name' in edit && edit.name === 'nowhere');
      if (bad) throw Object.assign(new Error("no vertex is called 'nowhere'"), { code: 'unknown-vertex', vertex: 'nowhere' });
      return model(labels, key);
    },
    seed: () => 0,
    cutPoints: () => [],
    gradCam: unused,
    unfrozen: unused,
    reinitialized: () => ['head'],
    classifier: (options) => model(options.labels, key),
    boundary: (at) => at?.length === 0 ? ['x'] : ['trunk'],
    trunkKey: () => key,
    trunk: () => new TextEncoder().encode(key),
    outputFromFeatures: async (_, made) => ({ head: made.toTensors()['trunk']! }),
    profile: unused,
    evaluate: async (_, made) => {
      const { count, labels: names } = made.info();
      return {
        count, accuracy: 1, accuracyInterval95: [0, 1], balancedAccuracy: 1, topNAccuracy: 1, loss: 0, macroF1: 1, mcc: 1,
        expectedCalibrationError: 0, labels: names, perClass: [], confusionMatrix: [], mistakes: [], text: `${count} images`,
      };
    },
    predictOn: unused,
    forgetGpu: unused,
    planPredict: () => undefined,
    setDigest: () => undefined,
    predict: (pixels) => [{ label: labels[0]!, index: 0, probability: pixels[0]! / 255 }],
    export: () => ({ files: new Map([['model.onnx', new Uint8Array([7])]]), verified: { samples: 1, maxAbsDiff: 0 } }),
  });

  return {
    version: () => 'fake',
    printSummary: unused,
    limitTileRows: () => undefined,
    memoryUse: () => ({ wasmBytes: 1000, liveTensors: log.live }),
    WasmModel: {
      load: (files) => {
        const [bytes] = [...files.values()];
        if (bytes?.length === 0) throw Object.assign(new Error('not a readable onnx file: it is empty'), { code: 'format' });
        return model(['a', 'b'], bytes ? `key ${bytes[0]}` : 'key none');
      },
    },
    WasmTrunk: {
      load: (): WasmTrunk => {
        log.trunkLoads++;
        return counted<WasmTrunk>({
          tensors: () => [{ name: 'trunk', shape: [2] }],
          featurizeView: unused,
          featurize: (pixels: Uint8Array) => {
            log.trunkRuns++;
            if (pixels[0] === TRAP) throw new WebAssembly.RuntimeError('unreachable');
            return Float32Array.of(pixels[0]!, pixels.length);
          },
        });
      },
    },
    WasmDevice: {
      cpu: () => ({ gpuBytes: () => 0, timeTiles: async () => [], trim: () => undefined, destroy: unused, free: () => undefined }),
      webgpu: () => Promise.reject(Object.assign(new Error('no GPU: not in the fake'), { code: 'no-gpu' })),
    },
    WasmBatchTrunk: { create: unused },
    WasmPreprocessing: { create: unused },
    WasmViews: { create: unused },
    WasmFeatures: {
      create: (tensors, { count, labels, trunkKey, dtype }) => features(
        { count, labels: [...labels], trunkKey, views: 1, mixed: false, tensors: tensors.map((it) => ({ ...it, dtype })), ids: [], rowLabels: new Uint32Array(count), rowGroups: new Int32Array(count) }, []),
      load: unused,
    },
    WasmTrainer: {
      create: (_device, _model, _at, _train, validation): WasmTrainer => {
        validation?.free();
        let iteration = 0;
        return counted<WasmTrainer>({
          run: async (): Promise<TrainStatus> => {
            iteration++;
            return { finished: iteration === iterations, epoch: 1, epochs: 1, iteration, iterations, loss: 1 / iteration, accuracy: 0, learningRate: 0.1, epochEnded: false };
          },
          arrive: async () => undefined,
          moveTo: unused,
          stop: unused,
          profile: unused,
          checkpoint: () => Uint8Array.of(iteration),
          finish: (_: WasmModel, stoppedBy: StoppedBy) => (
            { epochs: [], iterations: Array.from({ length: iteration }, () => ({ loss: 1 })), stoppedBy, bestEpoch: 1 }),
        });
      },
    },
    splitIndices: (labels, _groups, fraction) => splitAt(labels.length, fraction),
    balancedIndices: (labels) => Uint32Array.from(labels.keys()),
    foldIndices: (labels, _groups, k) => Array.from({ length: k }, () => splitAt(labels.length, 1 - 1 / k)),
  };
}

/** First byte of an image on which the fake trunk traps, and of one whose decoding takes a while. */
export const TRAP = 66;
export const SLOW = 77;

/** Decodes blobs of one byte, 'X' being no image. */
async function decode(log: Log, image: WireImage): Promise<Pixels> {
  log.decodes++;
  if ('data' in image) return image;
  if (!(image instanceof Blob)) throw new Error('no bitmaps here');
  const bytes = new Uint8Array(await image.arrayBuffer());
  if (bytes[0] === SLOW) await pause(20);
  if (bytes[0] === undefined || bytes[0] === 'X'.charCodeAt(0)) throw new RegraftError('bad-image', 'no image');
  return { data: bytes, width: bytes.length, height: 1, channels: 1 };
}

/** A host whose workers live in this thread. Ports still clone and transfer as they do between threads. */
export function fakeHost(log: Log, iterations?: number): Host {
  return {
    threads: () => 2,
    build: () => 'simd128',
    compile: async () => undefined as unknown as WebAssembly.Module,
    instantiate: async () => fakeWasm(log, iterations),
    mayHaveGpu: async () => true,
    startWorker: () => {
      log.workers++;
      let open: MessagePort | undefined;
      return {
        boot: ({ role }) => {
          if (role.kind === 'thread') throw new Error('no threads in the fake');
          open = role.port;
          const instance = { wasm: fakeWasm(log, iterations) };
          if (role.kind === 'engine') serveEngine(open, instance, 'simd128', role, (image) => decode(log, image));
          else serveTrunk(open, instance, (image) => decode(log, image), role.pixelCap);
        },
        terminate: () => open?.close(),
      };
    },
    locate: async (source) => ({ kind: 'url', url: String(source) }),
  };
}

/** Runs a test with an engine on the fake, and ends it afterwards. */
export async function withEngine(
  body: (engine: Engine, log: Log) => Promise<void>, options: EngineOptions & { iterations?: number } = {},
): Promise<void> {
  const { iterations, ...engineOptions } = options;
  const log: Log = { trunkRuns: 0, decodes: 0, live: 0, workers: 0, trunkLoads: 0 };
  const engine = await startEngine(fakeHost(log, iterations), engineOptions);
  try {
    await body(engine, log);
  } finally {
    await engine.dispose();
  }
}

/** An image the fake decodes: `text` as Latin letters. */
export const image = (text: string): Blob => new Blob([text]);
