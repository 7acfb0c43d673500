import { Channel } from '../channel.js';
import { RegraftError, fromWire, type WireError } from '../errors.js';
import type { Preprocessing } from '../api.js';
import { usable, type Decode } from './decode.js';
import type { ImageFeatures, ImageRef, NetworkInput, Pixels, Role, TrunkService, TrunkSource, ViewsRef } from '../protocol.js';

/** Starts and stops the pool's workers; the page does it. */
export interface Starter {
  start(worker: number, role: Role & { port: MessagePort }): void;
  stop(worker: number): void;
}

/** The frozen part of a network, for the workers that do not have it yet. */
export interface TrunkRef { key: string; source(): TrunkSource }

type Job =
  | { kind: 'check' } | { kind: 'pixels' }
  | { kind: 'preprocess'; preprocessing: Preprocessing; views: ViewsRef | undefined }
  | { kind: 'featurize'; trunk: TrunkRef; views: ViewsRef | undefined };
interface Task {
  job: Job; ref: ImageRef; attempts: number;
  /** Looked at when the task's turn comes. */
  signal: AbortSignal;
  resolve(value: unknown): void; reject(error: unknown): void;
}
interface Worker {
  id: number;
  channel: Channel<TrunkService, Record<never, never>>;
  /** Tasks whose images this worker has decoded already. */
  queue: Task[];
  underWay: number;
  trunkKey: string | undefined;
  wasmBytes: number;
}

/** Enough to hide the way of the messages; more would only copy pixels early. */
const IN_FLIGHT = 2;
/** Bytes of decoded pixels kept by all workers together between the check of a dataset and its first use. */
const KEPT_PIXELS = 256 * 1024 * 1024;
/** A worker that dies takes innocent images with it, so each gets a second worker before it is given up. */
const ATTEMPTS = 2;

/**
 * Workers that each decode images and run the trunk on their own: without a shared memory too, so it works on any static host.
 * They start when first needed. Any worker may take any image, so results never depend on the number of workers.
 */
export class TrunkPool {
  private readonly workers: Worker[] = [];
  private readonly queue: Task[] = [];
  /** Which worker has kept the pixels of an image. */
  private readonly keptBy = new Map<string, number>();
  private nextId = 0;

  constructor(readonly size: number, private readonly starter: Starter, private readonly decode: Decode) {}

  /** Rejects with 'bad-image' when the image cannot be decoded. */
  async check(ref: ImageRef, signal: AbortSignal): Promise<void> {
    await this.submit({ kind: 'check' }, ref, signal);
  }

  /** As long as no worker has started, this thread decodes: one image is not worth one. */
  async pixels(ref: ImageRef, signal: AbortSignal): Promise<Pixels> {
    if (this.nextId === 0) return usable(await this.decode(ref.image));
    return await this.submit({ kind: 'pixels' }, ref, signal) as Pixels;
  }

  async featurize(trunk: TrunkRef, ref: ImageRef, views: ViewsRef | undefined, signal: AbortSignal): Promise<ImageFeatures> {
    return await this.submit({ kind: 'featurize', trunk, views }, ref, signal) as ImageFeatures;
  }

  /** The image as the input of a network, for a trunk on the GPU. */
  async preprocess(preprocessing: Preprocessing, ref: ImageRef, views: ViewsRef | undefined, signal: AbortSignal): Promise<Float32Array> {
    return (await this.submit({ kind: 'preprocess', preprocessing, views }, ref, signal) as NetworkInput).pixels;
  }

  /** Drops kept pixels whose key starts so. */
  forget(prefix: string): void {
    for (const key of [...this.keptBy.keys()].filter((it) => it.startsWith(prefix))) this.keptBy.delete(key);
    for (const worker of this.workers) void worker.channel.call('forget', prefix).catch(() => undefined);
  }

  /** Bytes of wasm memory that is the workers' own. */
  wasmBytes(): number {
    return this.workers.reduce((sum, worker) => sum + worker.wasmBytes, 0);
  }

  /** A worker died. Its images are tried once more on another one. */
  failed(id: number, error: WireError): void {
    const worker = this.workers.find((it) => it.id === id);
    if (worker) this.retire(worker, fromWire(error));
  }

  private submit(job: Job, ref: ImageRef, signal: AbortSignal): Promise<unknown> {
    return new Promise<unknown>((resolve, reject) => {
      const keeper = this.workers.find((it) => ref.key !== undefined && it.id === this.keptBy.get(ref.key));
      (keeper?.queue ?? this.queue).push({ job, ref, signal, attempts: 0, resolve, reject });
      this.pump();
    });
  }

  /** Hands out queued tasks, to the least busy worker first. */
  private pump(): void {
    for (;;) {
      const free = this.workers.toSorted((a, b) => a.underWay - b.underWay)[0];
      if (free?.underWay !== 0 && this.workers.length < this.size && this.hasWork()) {
        this.start();
        continue;
      }
      if (!free || free.underWay >= IN_FLIGHT) return;
      const task = this.next(free);
      if (!task) return;
      if (task.signal.aborted) task.reject(task.signal.reason);
      else void this.run(free, task);
    }
  }

  private hasWork(): boolean {
    return this.queue.length > 0 || this.workers.some((it) => it.queue.length > 0);
  }

  /** The worker's own images first, then anyone's, then those of the worker with most left. */
  private next(worker: Worker): Task | undefined {
    return worker.queue.shift() ?? this.queue.shift()
      ?? this.workers.toSorted((a, b) => b.queue.length - a.queue.length)[0]?.queue.pop();
  }

  private async run(worker: Worker, task: Task): Promise<void> {
    worker.underWay++;
    task.attempts++;
    try {
      task.resolve(await this.perform(worker, task));
    } catch (error) {
      // A trap leaves the wasm instance in an unknown state, so that worker is given up as a dead one is.
      const lost = error instanceof RegraftError && error.code === 'internal';
      if (lost) this.retire(worker, error);
      if (lost && task.attempts < ATTEMPTS) this.queue.unshift(task);
      else task.reject(error);
    }
    worker.underWay--;
    this.pump();
  }

  private async perform(worker: Worker, { job, ref }: Task): Promise<unknown> {
    const { channel } = worker;
    switch (job.kind) {
      case 'check':
        if (await channel.call('check', ref) && ref.key !== undefined) this.keptBy.set(ref.key, worker.id);
        return undefined;
      case 'pixels':
        return channel.call('pixels', ref);
      case 'preprocess': {
        const input = await channel.call('preprocess', { ...ref, preprocessing: job.preprocessing, views: job.views });
        worker.wasmBytes = input.wasmBytes;
        if (ref.key !== undefined) this.keptBy.delete(ref.key);
        return input;
      }
      case 'featurize': {
        if (worker.trunkKey !== job.trunk.key) {
          worker.trunkKey = job.trunk.key;
          // A failure shows in the call after it, which waits for this one.
          void channel.call('setTrunk', job.trunk.source()).catch(() => (worker.trunkKey = undefined));
        }
        const result = await channel.call('featurize', { ...ref, views: job.views });
        worker.wasmBytes = result.wasmBytes;
        if (ref.key !== undefined) this.keptBy.delete(ref.key);
        return result;
      }
      default:
        return job satisfies never;
    }
  }

  private start(): void {
    const { port1, port2 } = new MessageChannel();
    const id = this.nextId++;
    const channel = new Channel<TrunkService, Record<never, never>>(port1, {});
    this.workers.push({ id, channel, queue: [], underWay: 0, trunkKey: undefined, wasmBytes: 0 });
    this.starter.start(id, { kind: 'trunk', port: port2, pixelCap: KEPT_PIXELS / this.size });
  }

  private retire(worker: Worker, error: RegraftError): void {
    const at = this.workers.indexOf(worker);
    if (at < 0) return;
    this.workers.splice(at, 1);
    this.queue.unshift(...worker.queue.splice(0));
    this.starter.stop(worker.id);
    worker.channel.close(error);
    this.pump();
  }
}
