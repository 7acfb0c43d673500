import type { FeatureSet, Tensor } from '../api.js';
import type { FeaturesState } from '../protocol.js';
import type { FeaturesInfo } from '../wasm-module.js';
import { badOption, checkNumber, checkOptions } from './options.js';
import type { Session } from './session.js';

/** A feature set in the engine worker. */
export class StoredFeatures implements FeatureSet {
  readonly count: number;
  readonly labels: readonly string[];
  readonly tensors: FeatureSet['tensors'];
  readonly trunkKey: string;
  readonly handle: number;
  private readonly info: FeaturesInfo;

  constructor(readonly session: Session, { features, info }: FeaturesState) {
    this.handle = features;
    this.info = info;
    this.count = info.count;
    this.labels = info.labels;
    this.tensors = info.tensors;
    this.trunkKey = info.trunkKey;
    session.watch(this, 'releaseFeatures', features);
  }

  toTensors(): Promise<Record<string, Tensor>> {
    return this.session.channel.call('featureTensors', this.handle);
  }

  split(fraction: number, options: { seed?: number; stratified?: boolean } = {}): [FeatureSet, FeatureSet] {
    const { seed = 0, stratified = true } = checkOptions(options, { seed: true, stratified: true });
    checkNumber('fraction', fraction, 0, 1);
    const { rowLabels, rowGroups, mixed } = this.info;
    if (mixed) throw badOption('features', 'views are mixed from two images each; split the images before they are featurized');
    const { train, test } = this.session.ask((wasm) => wasm.splitIndices(rowLabels, rowGroups, fraction, seed, stratified));
    return [this.select(train), this.select(test)];
  }

  save(): Promise<Uint8Array> {
    return this.session.channel.call('saveFeatures', this.handle);
  }

  async dispose(): Promise<void> {
    await this.session.channel.call('releaseFeatures', this.handle);
  }

  /** Described at once, made in the worker before anything that is asked of it afterwards. */
  private select(images: Uint32Array): FeatureSet {
    const features = this.session.newHandle();
    // Where this set is gone already, so is the new one: what is asked of it says so.
    void this.session.channel.call('selectFeatures', { features: this.handle, images, as: features }).catch(() => undefined);
    const info: FeaturesInfo = {
      ...this.info, count: images.length,
      ids: Array.from(images, (row) => this.info.ids[row]!),
      rowLabels: Uint32Array.from(images, (row) => this.info.rowLabels[row]!),
      rowGroups: Int32Array.from(images, (row) => this.info.rowGroups[row]!),
    };
    return new StoredFeatures(this.session, { features, info });
  }
}
