import { RegraftError } from '../errors.js';
import type { SampleRef, WireImage } from '../protocol.js';
import type { FeatureTensor } from '../wasm-module.js';

/** An image of a store, the name it is reported under, and the key its decoded pixels are kept under. */
export interface StoredImage { id: string; image: WireImage; key: string }

/** Features of the images of a store. */
export interface Rows {
  /** The boundary tensors, once the first image was run. */
  tensors: FeatureTensor[];
  /** By image: all boundary tensors one after the other. */
  byImage: Map<number, Float32Array>;
}

interface Store { images: Map<number, StoredImage>; rows: Map<string, Rows> }

/** Trunks whose features are kept for the images of one dataset: the one in use, and the one compared with. */
const TRUNKS_KEPT = 2;

/** The images behind datasets, and what trunks made of them: splits and folds of one dataset share both. */
export class SampleStores {
  private readonly stores = new Map<number, Store>();

  add(store: number, index: number, id: string, image: WireImage): StoredImage {
    const stored = { id, image, key: `${store}/${index}` };
    const { images } = this.stores.get(store) ?? this.create(store);
    images.set(index, stored);
    return stored;
  }

  /** Forgets an image that turned out to be none. */
  drop(store: number, index: number): void {
    this.stores.get(store)?.images.delete(index);
  }

  image({ store }: SampleRef, index: number): StoredImage {
    const image = this.stores.get(store)?.images.get(index);
    if (!image) throw new RegraftError('internal', `no image ${index} in store ${store}`);
    return image;
  }

  /** The rows made by a trunk so far; the caller adds to them. */
  rows({ store }: SampleRef, trunkKey: string): Rows {
    const { rows } = this.stores.get(store) ?? this.create(store);
    const kept: Rows = rows.get(trunkKey) ?? { tensors: [], byImage: new Map() };
    rows.delete(trunkKey);
    rows.set(trunkKey, kept);
    if (rows.size > TRUNKS_KEPT) rows.delete([...rows.keys()][0]!);
    return kept;
  }

  release(store: number): void {
    for (const { image } of this.stores.get(store)?.images.values() ?? []) if ('close' in image) image.close();
    this.stores.delete(store);
  }

  /** Bytes of all rows. */
  bytes(): number {
    let sum = 0;
    for (const { rows } of this.stores.values())
      for (const kept of rows.values())
        for (const row of kept.byImage.values()) sum += row.byteLength;
    return sum;
  }

  private create(store: number): Store {
    const created: Store = { images: new Map(), rows: new Map() };
    this.stores.set(store, created);
    return created;
  }
}
