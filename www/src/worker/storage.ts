import { verifyIntegrity } from './integrity.js';

/** Name of the store; the number changes when what lies in it does. */
const STORE = 'regraft-weights-1';

/** Kept bytes, if there are any and they are still whole. */
export async function lookUp(url: string, integrity: string | undefined): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const key = keyOf(url, integrity);
    const response = await (await open())?.match(key);
    if (!response) return undefined;
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (integrity !== undefined) await verifyIntegrity(bytes, integrity, url);
    return bytes;
  } catch {
    // Downloading again is the remedy for storage that is blocked or damaged.
    return undefined;
  }
}

/** Keeps bytes for the next visit, as far as the browser allows. */
export async function store(url: string, integrity: string | undefined, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  try {
    await (await open())?.put(keyOf(url, integrity), new Response(bytes));
  } catch {
    // A full or blocked storage costs the next visit a download, nothing else.
  }
}

/** Cache Storage exists in secure contexts of browsers alone. */
async function open(): Promise<Cache | undefined> {
  return typeof caches === 'undefined' ? undefined : caches.open(STORE);
}

/** Caches ignore fragments, so the integrity goes into the query. */
function keyOf(url: string, integrity = ''): string {
  const key = new URL(url);
  key.searchParams.set('regraft-integrity', integrity);
  return key.href;
}
