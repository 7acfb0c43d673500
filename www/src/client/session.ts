import { Channel } from '../channel.js';
import type { EngineService, PageService } from '../protocol.js';
import type { WasmModule } from '../wasm-module.js';

/** What the engine worker holds for the page, and the method that lets it go. */
type Release = 'releaseModel' | 'releaseFeatures' | 'releaseStore';

/** What every proxy of one engine shares: the way to its worker, and the handles behind forgotten objects. */
export class Session {
  /** Splits are answered at once, from this thread's own instance. */
  readonly wasm: WasmModule;
  private readonly forgotten = new FinalizationRegistry<{ method: Release; handle: number }>(({ method, handle }) => this.release(method, handle));
  private nextHandle = 0;

  constructor(readonly channel: Channel<EngineService, PageService>, readonly threads: number, wasm: WasmModule) {
    this.wasm = wasm;
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
