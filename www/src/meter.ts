import type { Progress } from './api.js';

/** Often enough for a smooth bar, seldom enough for the page. */
const INTERVAL_MS = 50;

/** Measures the speed of a piece of work and reports it, not more often than a page can show. */
export class Meter {
  private readonly start = performance.now();
  private last = -Infinity;

  constructor(private readonly phase: Progress['phase'], private readonly send: (p: Progress) => void) {}

  /** `total`: undefined where nobody knows it. `always`: do not leave this report out. The last one (done = total) never is. */
  report(done: number, total: number | undefined, more: Partial<Progress> = {}, always = false): void {
    const now = performance.now();
    if (now - this.last < INTERVAL_MS && done !== total && !always) return;
    this.last = now;
    const seconds = (now - this.start) / 1000;
    const perSecond = seconds > 0 ? done / seconds : 0;
    const left = perSecond > 0 && total !== undefined ? { secondsLeft: (total - done) / perSecond } : {};
    this.send({ phase: this.phase, done, total: total ?? done, perSecond, ...left, ...more });
  }
}
