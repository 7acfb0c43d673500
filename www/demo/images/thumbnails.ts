import type { Photo } from './library';
import type { ThumbnailReply, ThumbnailRequest } from './thumbnail-worker';

/** Pixels; twice the displayed side, for dense screens. */
const SIDE = 144;

type Outcome = { url: string } | { reason: string };

/**
 * Small previews, made one at a time in a worker: what is on screen first, the rest when nothing else waits.
 * What is kept is a JPEG of a few kB a photo; the browser drops its pixels when they are off screen.
 */
export class Thumbnails {
  readonly #worker = new Worker(new URL('./thumbnail-worker.ts', import.meta.url), { type: 'module', name: 'thumbnails' });
  readonly #done = new Map<string, Promise<Outcome>>();
  readonly #settle = new Map<string, (outcome: Outcome) => void>();
  readonly #urgent: Photo[] = [];
  readonly #idle: Photo[] = [];
  #working = false;
  #idlePaused = false;

  constructor(private readonly onUndecodable: (id: string, reason: string) => void) {
    this.#worker.onmessage = ({ data }: MessageEvent<ThumbnailReply>) => this.#finish(data);
  }

  /** Object URL of the preview, as soon as it can be had. */
  visible(photo: Photo): Promise<Outcome> {
    const known = this.#done.get(photo.id);
    if (known) {
      const waiting = this.#idle.indexOf(photo);
      if (waiting >= 0) this.#urgent.push(...this.#idle.splice(waiting, 1));
      return known;
    }
    return this.#enqueue(photo, this.#urgent);
  }

  /** Checks photos nobody looks at yet, so that undecodable ones are found before training. */
  checkLater(photos: readonly Photo[]): void {
    for (const photo of photos) if (!this.#done.has(photo.id)) void this.#enqueue(photo, this.#idle);
  }

  /** While the engine needs the cores, only what is on screen is decoded. */
  pauseIdle(paused: boolean): void {
    this.#idlePaused = paused;
    this.#next();
  }

  #enqueue(photo: Photo, queue: Photo[]): Promise<Outcome> {
    const outcome = new Promise<Outcome>((resolve) => this.#settle.set(photo.id, resolve));
    this.#done.set(photo.id, outcome);
    queue.push(photo);
    this.#next();
    return outcome;
  }

  #next(): void {
    if (this.#working) return;
    const photo = this.#urgent.shift() ?? (this.#idlePaused ? undefined : this.#idle.shift());
    if (!photo) return;
    this.#working = true;
    this.#worker.postMessage({ id: photo.id, file: photo.file, side: SIDE } satisfies ThumbnailRequest);
  }

  #finish(reply: ThumbnailReply): void {
    this.#working = false;
    const outcome: Outcome = 'thumbnail' in reply ? { url: URL.createObjectURL(reply.thumbnail) } : { reason: reply.reason };
    this.#settle.get(reply.id)?.(outcome);
    this.#settle.delete(reply.id);
    if ('reason' in reply) this.onUndecodable(reply.id, reply.reason);
    this.#next();
  }
}
