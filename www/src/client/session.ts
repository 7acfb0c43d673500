import { Channel } from '../channel.js';
import { toRegraftError } from '../errors.js';
import type { EngineService, PageService, Place } from '../protocol.js';
import type { WasmModule } from '../wasm-module.js';

/** What the engine worker holds for the page, and the method that lets it go. */
type Release = 'releaseModel' | 'releaseFeatures' | 'releaseStore';

/** What every proxy of one engine shares: the way to its worker, and the handles behind forgotten objects. */
export class Session {
  private readonly forgotten = new FinalizationRegistry<{ method: Release; handle: number }>(({ method, handle }) => this.release(method, handle));
  /** Where encoded images are that were found to be some. A Blob never changes, so that the same one is the same image. */
  readonly imageAt = new WeakMap<Blob, Place>();
  private nextHandle = 0;

  constructor(readonly channel: Channel<EngineService, PageService>, readonly threads: number, private readonly wasm: WasmModule) {}

  /** Asks this thread's own instance, which answers at once: for splits. */
  ask<R>(question: (wasm: WasmModule) => R): R {
    try {
      return question(this.wasm);
    } catch (error) {
      throw toRegraftError(error);
    }
  }

  /** Lets go of a handle when its proxy is collected without having been disposed. */
  watch(proxy: object, method: Release, handle: number): void {
    this.forgotten.register(proxy, { method, handle });
  }

  /** A handle chosen by the page: the worker's own are not negative. */
  newHandle(): number {
    return --this.nextHandle;
  }

  private release(method: Release, handle: number): void {
    // After dispose() there is nothing left to release.
    void this.channel.call(method, handle).catch(() => undefined);
  }
}
