/** Seconds of the same work on both backends; null where one cannot do it. */
export interface Timing { cpu: number; gpu: number | null }

/** Name of the store; the number changes when what lies in it does. */
const STORE = 'regraft-timings-1';

/** What was timed on an earlier visit. */
export async function recallTiming(key: string): Promise<Timing | undefined> {
  try {
    const kept: unknown = await (await (await open())?.match(address(key)))?.json();
    return isTiming(kept) ? kept : undefined;
  } catch {
    // Timing again is the remedy for storage that is blocked or damaged.
    return undefined;
  }
}

/** Keeps a timing for the next visit, as far as the browser allows. */
export async function keepTiming(key: string, timing: Timing): Promise<void> {
  try {
    await (await open())?.put(address(key), Response.json(timing));
  } catch {
    // A full or blocked storage costs the next visit some milliseconds, nothing else.
  }
}

/** Cache Storage exists in secure contexts of browsers alone. */
async function open(): Promise<Cache | undefined> {
  return typeof caches === 'undefined' ? undefined : caches.open(STORE);
}

/** An address that no one is asked for: caches know nothing by other names. */
function address(key: string): string {
  return `https://timings.invalid/?${new URLSearchParams({ key })}`;
}

function isTiming(value: unknown): value is Timing {
  if (typeof value !== 'object' || value === null) return false;
  const { cpu, gpu } = value as Partial<Timing>;
  return typeof cpu === 'number' && (gpu === null || typeof gpu === 'number');
}
