import { RegraftError } from '../errors.js';
import type { Place, SampleRef, WireImage } from '../protocol.js';
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

  /** Gives an image of another store what is known of it there, which is nothing where that store is gone: then false. */
  share(from: Place, to: Place): boolean {
    const origin = this.stores.get(from.store);
    const known = origin?.images.get(from.index);
    const image = this.stores.get(to.store)?.images.get(to.index);
    if (!origin || !known || !image) return false;
    image.key = known.key;
    // A copy: in the same store, what is looked up moves to the end of the map.
    for (const [trunkKey, { tensors, byImage }] of [...origin.rows]) {
      const row = byImage.get(from.index);
      if (!row) continue;
      const rows = this.rows(to, trunkKey);
      rows.tensors = tensors;
      rows.byImage.set(to.index, row);
    }
    return true;
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
  rows({ store }: Pick<SampleRef, 'store'>, trunkKey: string): Rows {
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

  /** Bytes of all rows, those that stores share once. */
  bytes(): number {
    const all = new Set<Float32Array>();
    for (const { rows } of this.stores.values())
      for (const { byImage } of rows.values())
        for (const row of byImage.values()) all.add(row);
    return [...all].reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  private create(store: number): Store {
    const created: Store = { images: new Map(), rows: new Map() };
    this.stores.set(store, created);
    return created;
  }
}
