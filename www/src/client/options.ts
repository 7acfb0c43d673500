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

/**
 * A copy of plain data, taken now and without what is undefined: behind the workers, a field that is there and has no value means
 * 'remove'. Refuses what JSON does not have, not a number in place of one above all, which would mean the same.
 */
export function plain<T>(option: string, value: T): T {
  const copy = (it: unknown, path: string): unknown => {
    if (it === null || typeof it === 'string' || typeof it === 'boolean' || Number.isFinite(it)) return it;
    if (Array.isArray(it)) return it.map((entry, at) => copy(entry, `${path}[${at}]`));
    if (typeof it === 'object') {
      const entries = Object.entries(it).filter(([, entry]) => entry !== undefined);
      return Object.fromEntries(entries.map(([name, entry]) => [name, copy(entry, `${path}.${name}`)]));
    }
    throw badOption(path, `a finite number, a text, true, false, null, a list or an object, not ${String(it)}`);
  };
  return copy(value, option) as T;
}
