import { RegraftError } from '../errors.js';

/** 'exclusive' users change the object. */
export type Mode = 'shared' | 'exclusive';

interface Entry<T> { value: T; users: Set<AbortController>; exclusive: boolean; released: boolean }

/** Objects in wasm memory, by the numbers the page knows them under. No object is freed or changed while a call uses it. */
export class Handles<T extends { free(): void }> {
  private readonly entries = new Map<number, Entry<T>>();
  private nextHandle = 0;

  constructor(private readonly what: string) {}

  add(value: T, handle = this.nextHandle++): number {
    this.entries.set(handle, { value, users: new Set(), exclusive: false, released: false });
    return handle;
  }

  /** Runs `body` with the object. Its signal follows `signal`, and fires with 'disposed' when the object is released meanwhile. */
  async use<R>(handle: number, mode: Mode, signal: AbortSignal, body: (value: T, signal: AbortSignal) => R | Promise<R>): Promise<R> {
    const entry = this.entries.get(handle);
    if (!entry) throw new RegraftError('disposed', `this ${this.what} was disposed`);
    if (entry.exclusive || (mode === 'exclusive' && entry.users.size > 0)) {
      throw new RegraftError('busy', `this ${this.what} is in use by another call: await it first`);
    }
    const controller = new AbortController();
    const onAbort = (): void => controller.abort(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    entry.users.add(controller);
    entry.exclusive = mode === 'exclusive';
    try {
      return await body(entry.value, controller.signal);
    } finally {
      signal.removeEventListener('abort', onAbort);
      entry.users.delete(controller);
      entry.exclusive = false;
      if (entry.released && entry.users.size === 0) entry.value.free();
    }
  }

  /** Frees the object, or lets the last call that uses it do so. */
  release(handle: number): void {
    const entry = this.entries.get(handle);
    if (!entry) return;
    this.entries.delete(handle);
    entry.released = true;
    for (const user of entry.users) user.abort(new RegraftError('disposed', `this ${this.what} was disposed`));
    if (entry.users.size === 0) entry.value.free();
  }
}
