import { Channel } from '../channel.js';
import { RegraftError } from '../errors.js';
import type { ImageRef, Pixels, TrunkService, TrunkSource, ViewsRef } from '../protocol.js';
import { usable, type Decode } from './decode.js';
import type { Instance } from '../loader.js';
import type { WasmTrunk, WasmViews } from '../wasm-module.js';

/** Serves a trunk worker: decodes images and runs the frozen part of a network on them, one at a time. */
export function serveTrunk(port: MessagePort, { wasm, shared }: Instance, decode: Decode, pixelCap: number): void {
  const kept = new KeptPixels(pixelCap);
  const running = new Set<Promise<unknown>>();
  let trunk: Promise<WasmTrunk> = Promise.reject(new RegraftError('internal', 'no trunk was set'));
  trunk.catch(() => undefined);

  const trunkOf = (source: TrunkSource): WasmTrunk => {
    if (source.kind === 'bytes') return wasm.WasmTrunk.load(source.bytes);
    if (!shared) throw new RegraftError('internal', 'this build shares no memory');
    return shared.wasm.WasmTrunk.take(source.number);
  };
  const pixels = async ({ image, key }: ImageRef): Promise<Pixels> => kept.take(key) ?? decode(image);

  const allViews = (
    { augmentation, options }: ViewsRef, partners: (Pixels | undefined)[],
    render: (drawn: WasmViews, view: number, partner: Pixels | undefined) => Float32Array,
  ): Float32Array<ArrayBuffer> => {
    const drawn = wasm.WasmViews.create(augmentation, options);
    try {
      return joined([undefined, ...partners].map((partner, view) => render(drawn, view, partner)));
    } finally {
      drawn.free();
    }
  };
  const partnersOf = (views: ViewsRef | undefined): Promise<(Pixels | undefined)[]> => (
    Promise.all((views?.partners ?? []).map((partner) => partner && decode(partner))));

  new Channel<Record<never, never>, TrunkService>(port, {
    async setTrunk(source) {
      const [old, before] = [trunk, [...running]];
      // Images under way still run on the old trunk.
      trunk = Promise.allSettled(before).then(() => old).then((it) => it.free(), () => undefined).then(() => trunkOf(source));
      await trunk;
    },
    async check({ image, key }) {
      return kept.keep(key, usable(await decode(image)));
    },
    async pixels(ref, { transfer }) {
      const decoded = usable(await pixels(ref));
      transfer(decoded.data.buffer);
      return decoded;
    },
    async featurize({ views, ...ref }, { transfer }) {
      const work = Promise.all([trunk, pixels(ref), partnersOf(views)]).then(([it, image, partners]) => (
        { features: views ? allViews(views, partners, (drawn, view, partner) => it.featurizeView(drawn, views.index, view, image, partner)) : it.featurize(image.data, image.width, image.height, image.channels), tensors: it.tensors() }));
      running.add(work);
      try {
        const made = await work;
        transfer(made.features.buffer);
        return { ...made, wasmBytes: shared ? 0 : wasm.memoryUse().wasmBytes };
      } finally {
        running.delete(work);
      }
    },
    async preprocess({ preprocessing, views, ...ref }, { transfer }) {
      const [image, partners] = await Promise.all([pixels(ref), partnersOf(views)]);
      const made = wasm.WasmPreprocessing.create(preprocessing);
      try {
        const input = views
          ? allViews(views, partners, (drawn, view, partner) => made.view(drawn, views.index, view, image, partner))
          : made.image(image.data, image.width, image.height, image.channels);
        transfer(input.buffer);
        return { pixels: input, wasmBytes: shared ? 0 : wasm.memoryUse().wasmBytes };
      } finally {
        made.free();
      }
    },
    forget: (keys) => kept.forget(keys),
  });
}

function joined(rows: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const all = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  rows.reduce((at, row) => {
    all.set(row, at);
    return at + row.length;
  }, 0);
  return all;
}

/** Decoded pixels between the check of a dataset and its first use, up to a number of bytes. */
class KeptPixels {
  private readonly pixels = new Map<string, Pixels>();
  private bytes = 0;

  constructor(private readonly cap: number) {}

  /** Whether there was room. The first ones stay: they are also the first to be used. */
  keep(key: string | undefined, pixels: Pixels): boolean {
    if (key === undefined || this.bytes + pixels.data.byteLength > this.cap) return false;
    this.pixels.set(key, pixels);
    this.bytes += pixels.data.byteLength;
    return true;
  }

  take(key: string | undefined): Pixels | undefined {
    const pixels = key === undefined ? undefined : this.pixels.get(key);
    if (key !== undefined && pixels) {
      this.pixels.delete(key);
      this.bytes -= pixels.data.byteLength;
    }
    return pixels;
  }

  forget(prefix: string): void {
    for (const key of [...this.pixels.keys()].filter((it) => it.startsWith(prefix))) this.take(key);
  }
}
