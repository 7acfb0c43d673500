import type { StepTime } from '../../src/wasm-module.js';
import type { Timing } from './measure.js';

/** What a row found. */
export interface Row {
  title: string;
  /** What a unit is: image, step. */
  unit: string;
  timings: readonly Timing[];
  /** Opponents that cannot do it, and why. */
  absent?: readonly { name: string; reason: string }[];
  /** Our steps, one by one, in milliseconds. */
  profile?: readonly StepTime[];
  /** The same planned for a GPU of usual size, where that of the profile is another. */
  planned?: readonly StepTime[];
  /** Best multiply-adds a second of this core, in GFLOP/s, by way of measuring. */
  peak?: readonly { name: string; gflops: number }[];
  notes?: readonly string[];
}

const post = (path: string, body: unknown): Promise<Response> => (
  fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }));

export const send = (row: unknown): Promise<Response> => post('./report', { row });
export const fail = (error: unknown): Promise<Response> => (
  post('./report', { error: error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error) }));
/** A line for whoever waits. */
export const say = (text: string): void => void post('./say', { text });
