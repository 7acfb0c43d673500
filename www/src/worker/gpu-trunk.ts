import { toRegraftError } from '../errors.js';
import type { ImageFeatures } from '../protocol.js';
import type { WasmBatchTrunk, WasmDevice, WasmModule } from '../wasm-module.js';
import type { EngineDevice } from './device.js';
import type { Trunk } from './featurize.js';
import { infoOf } from './info.js';
import { Queue } from './queue.js';
import { nextTask } from './yield.js';

/** Images of a run: enough to fill a GPU, few enough for its memory. */
const BATCH = 8;
/** Most that timing takes on each backend, after what has to be made for it. */
const PROBE_MS = 300;
/** Multiply-accumulates of the slice that is timed: some milliseconds of one core. */
const PROBE_MACS = 50e6;

/** Images to come, each with the same number of views, the plain one among them. */
export interface GpuImages {
  count: number; views: number;
  /** All views of an image as the input of the network. */
  prepare(index: number): Promise<Float32Array>;
}

/** A trunk on the GPU, for runs of `size` images. */
interface Made { key: string; device: WasmDevice; size: number; trunk: WasmBatchTrunk }

/** Takes the features of an image. */
type OnDone = (index: number, made: Pick<ImageFeatures, 'features' | 'tensors'>) => void;

/** Runs trunks on the GPU, in batches. Workers of the pool decode, resize and normalise meanwhile. */
export class GpuTrunk {
  private readonly queue = new Queue();
  private made: Made | undefined;
  /** Images of a run that fit into the GPU's memory, as far as is known. */
  private size = BATCH;

  constructor(private readonly wasm: WasmModule, private readonly device: EngineDevice, private readonly threads: number) {}

  /** The GPU, where this trunk runs faster on it than in the pool. */
  choose({ model, at }: Trunk, key: string): Promise<WasmDevice | undefined> {
    const { width, height } = infoOf(model).preprocessing.size;
    const boundary = new Set(model.boundary(at));
    const cuts = model.cutPoints();
    const end = cuts.findIndex(({ name }) => boundary.has(name));
    const inside = end < 0 ? cuts.slice(0, 1) : cuts.slice(0, end + 1);
    const slice = inside.find(({ trunkMacs }) => trunkMacs >= PROBE_MACS) ?? inside.at(-1);
    const cut = slice ? [slice.name] : at;
    const timed = (device: WasmDevice, batch: number): Promise<number> => this.time(device, { model, at: cut }, batch, 3 * width * height);
    return this.device.forPhase('trunk', key, {
      cpu: async () => await timed(this.device.cpu, 1) / this.threads,
      gpu: async (gpu) => await timed(gpu, BATCH) / BATCH,
    });
  }

  /** Gives the features of each image, in order. */
  featurize(
    gpu: WasmDevice, trunk: Trunk, key: string, images: GpuImages, signal: AbortSignal, onDone: OnDone,
  ): Promise<void> {
    const atMost = async (size: number): Promise<void> => {
      try {
        await this.run(this.compiled(gpu, trunk, key, size), trunk, images, signal, onDone);
      } catch (error) {
        this.forget();
        // A smaller batch needs less memory.
        if (size === 1 || toRegraftError(error).code !== 'over-budget') throw error;
        await atMost(size / 2);
      }
    };
    return this.queue.run(() => atMost(this.size));
  }

  private async run({ trunk: batch, size }: Made, trunk: Trunk, { count, views, prepare }: GpuImages, signal: AbortSignal, onDone: OnDone): Promise<void> {
    const { width, height } = infoOf(trunk.model).preprocessing.size;
    const rowLength = 3 * width * height;
    const tensors = batch.tensors();
    const group = Math.max(1, Math.floor(size / views));
    const prepared = (from: number): Promise<Float32Array[]> => {
      const made = Promise.all(Array.from({ length: Math.max(0, Math.min(group, count - from)) }, (_, at) => prepare(from + at)));
      made.catch(() => undefined); // Awaited when its turn comes.
      return made;
    };
    // Workers of the pool are at two groups while one runs: more would only fill the memory.
    const coming = [prepared(0), prepared(group)];
    for (let from = 0; from < count; from += group) {
      const pixels = joined(await coming.shift()!);
      coming.push(prepared(from + 2 * group));
      signal.throwIfAborted();
      const rows: Float32Array[] = [];
      for (let at = 0; at < pixels.length; at += size * rowLength) rows.push(await batch.run(pixels.subarray(at, at + size * rowLength)));
      const features = joined(rows);
      const images = pixels.length / rowLength / views;
      const length = features.length / images;
      for (let index = 0; index < images; index++) onDone(from + index, { features: features.slice(index * length, (index + 1) * length), tensors });
    }
  }

  /** Frees what is kept on the GPU for the next time, once no one is at work on it. */
  release(): void {
    void this.queue.run(() => {
      this.forget();
      this.device.trim();
    });
  }

  private forget(): void {
    this.made?.trunk.free();
    this.made = undefined;
  }

  private compiled(device: WasmDevice, { model, at }: Trunk, key: string, size: number): Made {
    this.size = size;
    const { made } = this;
    if (made?.key === key && made.device === device && made.size === size) return made;
    this.forget();
    return (this.made = { key, device, size, trunk: this.wasm.WasmBatchTrunk.create(device, model, at, size) });
  }

  /** Seconds of the fastest run. */
  private async time(device: WasmDevice, { model, at }: Trunk, batch: number, rowLength: number): Promise<number> {
    const trunk = this.wasm.WasmBatchTrunk.create(device, model, at, batch);
    try {
      const pixels = new Float32Array(batch * rowLength);
      await trunk.run(pixels);
      const start = performance.now();
      let best = Infinity;
      do {
        const before = performance.now();
        await trunk.run(pixels);
        best = Math.min(best, performance.now() - before);
        await nextTask();
      } while (performance.now() - start < PROBE_MS / 2);
      return best / 1000;
    } finally {
      trunk.free();
    }
  }
}

function joined(rows: readonly Float32Array[]): Float32Array {
  if (rows.length === 1) return rows[0]!;
  const all = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  rows.reduce((at, row) => {
    all.set(row, at);
    return at + row.length;
  }, 0);
  return all;
}
