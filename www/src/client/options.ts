import { RegraftError } from '../errors.js';

/**
 * Refuses options that are not there, so that a typo or an option of another version is not ignored in silence. Gives a copy
 * in which those that are undefined are left out.
 */
export function checkOptions<T extends object>(options: T, known: Readonly<Record<keyof Required<T>, true>>): T {
  if (typeof options !== 'object' || options === null) throw badOption('options', `an object, not ${String(options)}`);
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(known, name)) throw badOption(name, `not known here; there are ${Object.keys(known).join(', ')}`);
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** A number within a range, or undefined. */
export function checkNumber(name: string, value: number | undefined, low: number, high: number, kind: 'integer' | 'real' = 'real'): void {
  if (value === undefined) return;
  if (typeof value !== 'number' || !(value >= low && value <= high) || (kind === 'integer' && !Number.isInteger(value))) {
    const range = high === Infinity ? `from ${low} up` : `from ${low} to ${high}`;
    throw badOption(name, `${kind === 'integer' ? 'a whole number' : 'a number'} ${range}, not ${String(value)}`);
  }
}

/** The error of an option outside its range. */
export function badOption(name: string, reason: string): RegraftError {
  return new RegraftError('bad-option', `option '${name}': ${reason}`);
}
