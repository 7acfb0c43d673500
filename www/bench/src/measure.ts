// Rounds in which every contestant has its turn, so that what else the machine does hits all of them alike.
import { countCalls, type Calls } from './calls.js';

/** One who runs the same work as the others. */
export interface Contestant {
  name: string;
  version: string;
  threads: number;
  /** Runs of the work in one turn; a turn takes some milliseconds at least. */
  turn(): void | Promise<void>;
  /** Units of work (images, steps) in a turn. */
  units: number;
  /** Milliseconds of the first turn, where it was timed apart. */
  first?: number;
  /** Largest difference of its results from those of the first contestant. */
  difference?: number;
}

export interface Timing { name: string; version: string; threads: number; rounds: number; first?: number; difference?: number; calls?: Calls; min: number; median: number; q1: number; q3: number }

export interface Budget { rounds: number; seconds: number; warmUp: number }

const quantile = (sorted: readonly number[], share: number): number => sorted[Math.min(sorted.length - 1, Math.round((sorted.length - 1) * share))] ?? NaN;

export function spread(values: readonly number[]): { min: number; median: number; q1: number; q3: number } {
  const sorted = values.toSorted((a, b) => a - b);
  return { min: quantile(sorted, 0), median: quantile(sorted, 0.5), q1: quantile(sorted, 0.25), q3: quantile(sorted, 0.75) };
}

async function timed({ turn, units }: Contestant): Promise<number> {
  const begin = performance.now();
  const done = turn();
  if (done) await done;
  return (performance.now() - begin) / units;
}

/**
 * Milliseconds a unit. Warms each up, then goes round until rounds or time are used up, three rounds at least. `counts`: what each asks of
 * WebGPU in one turn more.
 */
export async function interleave(contestants: readonly Contestant[], { rounds, seconds, warmUp }: Budget, counts = false): Promise<Timing[]> {
  for (const contestant of contestants) {
    const begin = performance.now();
    for (let i = 0; i < warmUp && (i < 2 || performance.now() - begin < 1000 * seconds / 4); i++) await timed(contestant);
  }
  const times = contestants.map((): number[] => []);
  const begin = performance.now();
  let done = 0;
  for (; done < rounds && (done < 3 || performance.now() - begin < 1000 * seconds); done++) {
    for (let i = 0; i < contestants.length; i++) {
      // Each goes first in its turn: the one before leaves caches and heap behind.
      const at = (i + done) % contestants.length;
      times[at]?.push(await timed(contestants[at]!));
    }
    // Lets the browser collect garbage and deliver messages outside of the timed turns.
    await new Promise((resolve) => setTimeout(resolve));
  }
  const calls: (Calls | undefined)[] = [];
  for (const { turn, units } of contestants) calls.push(counts ? await countCalls(turn, units) : undefined);
  return contestants.map(({ name, version, threads, first, difference }, i) => ({
    name, version, threads, rounds: done, ...spread(times[i] ?? []), ...calls[i] ? { calls: calls[i] } : {},
    ...first === undefined ? {} : { first }, ...difference === undefined ? {} : { difference },
  }));
}

/** Milliseconds of a turn, and of each of two warm-ups that tell its length. */
const TURN = 100;
const SETTLING = 150;

/** A turn of about the same length for everyone, as many units as make it up: what a turn finds cold weighs on short ones. `last`: what a unit took when it was cold. */
export async function turnOf(unit: () => unknown, last = 0): Promise<{ units: number; turn: () => Promise<void> }> {
  if (last > SETTLING) return { units: 1, turn: async () => void await unit() };
  // Counted, for a unit may be shorter than what the clock tells apart; and twice, for the first ones are slow.
  for (let i = 0; i < 2; i++) {
    const begin = performance.now();
    let done = 0;
    do { await unit(); done++; } while (performance.now() - begin < SETTLING);
    last = (performance.now() - begin) / done;
  }
  const units = Math.max(1, Math.round(TURN / last));
  return { units, turn: async () => { for (let i = 0; i < units; i++) await unit(); } };
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} results beside ${b.length}`);
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    // NaN is larger than everything.
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

/** Fails where results differ by more than the tolerance, in units of the largest expected value. */
export function assertAgreement(name: string, results: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!));
  const share = largestDifference(results, expected) / largest;
  if (!(share <= tolerance)) throw new Error(`${name} computes something else: its results differ by ${share.toExponential(1)} of the largest, ${tolerance} is allowed`);
}

/** Uniform in [-1, 1), the same everywhere (Marsaglia's xorshift32). */
export function noise(length: number, seed = 1): Float32Array<ArrayBuffer> {
  const values = new Float32Array(length);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = (state >>> 0) / 2 ** 31 - 1;
  }
  return values;
}

/** [n, h, w, c] as [n, c, h, w]. */
export function toNchw(values: Float32Array, [h = 1, w = 1, c = 1]: readonly number[]): Float32Array<ArrayBuffer> {
  const [pixels, all] = [h * w, new Float32Array(values.length)];
  for (let i = 0; i < values.length; i++) {
    const [image, within] = [Math.floor(i / (pixels * c)), i % (pixels * c)];
    all[image * pixels * c + (within % c) * pixels + Math.floor(within / c)] = values[i]!;
  }
  return all;
}
