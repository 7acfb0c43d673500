import type { Dataset, DatasetOptions, ImageInput, Sample } from '../api.js';
import { aborted } from '../channel.js';
import { RegraftError } from '../errors.js';
import { toWireImage } from '../image.js';
import type { SampleRef } from '../protocol.js';
import type { IndexSplit, WasmModule } from '../wasm-module.js';
import { Meter } from '../meter.js';
import { badOption, checkNumber, checkOptions } from './options.js';
import type { Session } from './session.js';

/** The images behind datasets, held by the engine worker until no dataset needs them. */
export interface Store { session: Session; handle: number }

/** Makes an empty store. */
export function newStore(session: Session): Store {
  const store = { session, handle: session.newHandle() };
  session.watch(store, 'releaseStore', store.handle);
  return store;
}

/** Sends an image to a store; with `check`, rejects with 'bad-image' unless it can be decoded. */
export async function addImage({ session, handle: store }: Store, index: number, id: string, input: ImageInput, check: boolean, signal?: AbortSignal): Promise<void> {
  const { image, transfer } = await toWireImage(input);
  const same = input instanceof Blob ? session.imageAt.get(input) : undefined;
  await session.channel.call('addSample', { store, index, id, image, check, same }, { signal, transfer });
  if (check && input instanceof Blob) session.imageAt.set(input, { store, index });
}

/**
 * Label and group of one sample; both are positions in lists of names, the group -1 when there is none. `target`: one entry a label,
 * where that is more than one class; `label` is then its largest.
 */
interface Entry { index: number; label: number; group: number; target?: Float32Array | undefined }

/** Some images of a store, labelled. */
export class StoredDataset implements Dataset {
  readonly count: number;
  readonly counts: Readonly<Record<string, number>>;

  constructor(
    readonly store: Store, private readonly entries: readonly Entry[], readonly labels: readonly string[],
    readonly rejected: readonly { id: string; reason: string }[],
  ) {
    this.count = entries.length;
    const counts = labels.map(() => 0);
    for (const { label } of entries) counts[label]!++;
    this.counts = Object.fromEntries(labels.map((label, at) => [label, counts[at]!]));
  }

  split(trainFraction: number, options: { seed?: number; stratified?: boolean } = {}): { train: Dataset; test: Dataset } {
    const { seed = 0, stratified = true } = checkOptions(options, { seed: true, stratified: true });
    checkNumber('trainFraction', trainFraction, 0, 1);
    return this.pair(this.ask((wasm) => wasm.splitIndices(this.labelOf(), this.groupOf(), trainFraction, seed, stratified)));
  }

  balanced(options: { perLabel?: number; seed?: number } = {}): Dataset {
    const { perLabel, seed = 0 } = checkOptions(options, { perLabel: true, seed: true });
    checkNumber('perLabel', perLabel, 1, Infinity, 'integer');
    return this.subset(this.ask((wasm) => wasm.balancedIndices(this.labelOf(), perLabel, seed)));
  }

  folds(k: number, options: { seed?: number } = {}): { train: Dataset; test: Dataset }[] {
    const { seed = 0 } = checkOptions(options, { seed: true });
    checkNumber('k', k, 2, this.count, 'integer');
    return this.ask((wasm) => wasm.foldIndices(this.labelOf(), this.groupOf(), k, seed)).map((fold) => this.pair(fold));
  }

  /** What the worker needs to find the samples. */
  ref(): SampleRef {
    if (this.count === 0) throw badOption('data', 'the dataset has no images');
    const indices = Uint32Array.from(this.entries, ({ index }) => index);
    return { store: this.store.handle, indices, labels: this.labels, labelOf: this.labelOf(), groupOf: this.groupOf(), targets: this.targets() };
  }

  /** Samples × labels, where any sample has another target than one class. */
  private targets(): Float32Array | undefined {
    if (this.entries.every(({ target }) => target === undefined)) return undefined;
    const classes = this.labels.length;
    const all = new Float32Array(this.count * classes);
    this.entries.forEach(({ label, target }, row) => (target ? all.set(target, row * classes) : all[row * classes + label] = 1));
    return all;
  }

  private ask<R>(question: (wasm: WasmModule) => R): R {
    return this.store.session.ask(question);
  }

  private labelOf(): Uint32Array {
    return Uint32Array.from(this.entries, ({ label }) => label);
  }

  private groupOf(): Int32Array {
    return Int32Array.from(this.entries, ({ group }) => group);
  }

  private pair({ train, test }: IndexSplit): { train: Dataset; test: Dataset } {
    return { train: this.subset(train), test: this.subset(test) };
  }

  private subset(positions: Uint32Array): Dataset {
    return new StoredDataset(this.store, Array.from(positions, (at) => this.entries[at]!), this.labels, []);
  }
}

/** Reads samples, a few at a time, and drops those that cannot be decoded. */
export async function readDataset(session: Session, samples: Iterable<Sample> | AsyncIterable<Sample>, options: DatasetOptions): Promise<Dataset> {
  const { labels, onProgress, signal } = checkOptions(options, { labels: true, onProgress: true, signal: true });
  if (labels && distinct(labels).length < labels.length) throw badOption('labels', 'each name once');
  const store = newStore(session);
  const meter = new Meter('decode', (p) => onProgress?.(p));
  const total = Array.isArray(samples) ? samples.length : undefined;
  const read: { id: string; label: Sample['label']; group: string | undefined }[] = [];
  const rejected = new Map<number, { id: string; reason: string }>();
  const underWay = new Set<Promise<void>>();
  let done = 0;

  for await (const sample of samples) {
    if (signal?.aborted) throw aborted();
    const index = read.length;
    const id = nameOf(sample, index);
    checkLabel(sample.label, id, labels);
    read.push({ id, label: sample.label, group: sample.group });
    const work = addImage(store, index, id, sample.image, true, signal).catch((error: unknown) => {
      if (!(error instanceof RegraftError) || error.code !== 'bad-image') throw error;
      rejected.set(index, { id, reason: error.message });
    }).then(() => {
      underWay.delete(work);
      meter.report(++done, total);
    });
    work.catch(() => undefined); // Awaited below, or left behind by a failure before.
    underWay.add(work);
    if (underWay.size >= 2 * session.threads) await Promise.race(underWay);
  }
  await Promise.all(underWay);
  if (total === undefined) meter.report(done, done);

  const names = labels ?? distinct(read.flatMap(({ label }) => namesIn(label))).sort();
  const positionOf = positions(names);
  const groupAt = positions(distinct(read.flatMap(({ group }) => group ?? [])));
  const entries = read
    .map(({ label, group }, index) => ({ index, ...placed(label, positionOf), group: group === undefined ? -1 : groupAt.get(group)! }))
    .filter(({ index }) => !rejected.has(index));
  return new StoredDataset(store, entries, names, [...rejected].sort(([a], [b]) => a - b).map(([, it]) => it));
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}

function positions(names: readonly string[]): Map<string, number> {
  return new Map(names.map((name, at) => [name, at]));
}

/** The name of a sample: its own, its file's, or its position. */
function nameOf({ id, image }: Sample, index: number): string {
  if (id !== undefined) return id;
  if (typeof File !== 'undefined' && image instanceof File) return image.webkitRelativePath || image.name;
  return String(index);
}

/** Refuses what says nothing of the classes, or of others than those listed. */
function checkLabel(label: Sample['label'], id: string, labels: readonly string[] | undefined): void {
  const isDistribution = isNumbers(label);
  const named = isDistribution ? [] : namesIn(label);
  if (!isDistribution && (named.length === 0 || named.some((name) => typeof name !== 'string'))) {
    throw badOption('label', `sample ${id} needs the name of a class, the names of several, or a number for each`);
  }
  if (isDistribution && !labels) throw badOption('labels', `sample ${id} has a number for each class: their names are needed`);
  if (isDistribution && (label.length !== labels?.length || !label.every((entry) => Number.isFinite(entry) && entry >= 0))) {
    throw badOption('label', `sample ${id} needs ${labels?.length} numbers from 0 up, not [${label.join(', ')}]`);
  }
  const foreign = labels && named.find((name) => !labels.includes(name));
  if (foreign !== undefined) throw badOption('labels', `sample ${id} is labelled '${foreign}', which is not among them`);
}

function isNumbers(label: Sample['label']): label is readonly number[] {
  return Array.isArray(label) && label.length > 0 && label.every((entry) => typeof entry === 'number');
}

function namesIn(label: Sample['label']): readonly string[] {
  if (typeof label === 'string') return [label];
  return Array.isArray(label) && !isNumbers(label) ? label : [];
}

/** A label as a position and, unless it is one class, as a target. */
function placed(label: Sample['label'], positionOf: ReadonlyMap<string, number>): Pick<Entry, 'label' | 'target'> {
  if (typeof label === 'string') return { label: positionOf.get(label)! };
  const target = isNumbers(label) ? Float32Array.from(label) : new Float32Array(positionOf.size);
  for (const name of namesIn(label)) target[positionOf.get(name)!] = 1;
  return { label: target.indexOf(Math.max(...target)), target };
}
