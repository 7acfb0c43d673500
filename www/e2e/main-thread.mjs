// What a page's main thread does, task by task. These are the tasks that the Long Tasks API reports; it tells wall time alone, in which a
// task that waits for a core that another program has looks like one that works. The kernel tells them apart.
import { readFileSync } from 'node:fs';

/** What a person notices (Long Tasks API). */
export const LONG_TASK = 50;

const CATEGORIES = ['toplevel', 'devtools.timeline', 'blink', 'v8'];
const SAMPLE_MILLISECONDS = 10;
/** Parts of a task that are worth a line. */
const SHOWN_MILLISECONDS = 2;
const SHOWN_PARTS = 12;

/**
 * @typedef {object} Task
 * @property {number} milliseconds from begin to end
 * @property {number} own of these, what the task worked, or waited for something that it asked for; the rest it was ready to run and had no core
 * @property {string[]} parts what it did
 */

/**
 * The main-thread tasks of all pages of a browser while `work` runs, the longest first. Chromium started without its sandbox, on Linux.
 * @param {import('playwright-core').Browser} browser
 * @param {() => Promise<unknown>} work
 * @returns {Promise<Task[]>}
 */
export async function mainThreadTasks(browser, work) {
  const session = await browser.newBrowserCDPSession();
  const events = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const waits = new Map(processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => [id, new Waits(id)]));
  await session.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: CATEGORIES, excludedCategories: ['*'] } });
  const sample = () => waits.forEach((it) => it.sample());
  const timer = setInterval(sample, SAMPLE_MILLISECONDS);
  sample();
  try {
    await work();
  } finally {
    clearInterval(timer);
    sample();
    const complete = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve));
    await session.send('Tracing.end');
    await complete;
    await session.detach();
  }
  const mains = new Set(events.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(({ tid }) => tid));
  const slices = events.filter(({ ph, tid, dur }) => ph === 'X' && mains.has(tid) && dur > 0);
  const tasks = slices.filter(({ name }) => name.endsWith('RunTask'));
  return tasks.map((task) => {
    const waited = waits.get(task.tid)?.between(task.ts, task.ts + task.dur) ?? 0;
    // Time on a core is exact; the wait is that of the samples around the task.
    const own = Math.max(task.tdur ?? task.dur, task.dur - waited) / 1000;
    return { milliseconds: task.dur / 1000, own, parts: own < LONG_TASK ? [] : partsOf(task, slices) };
  }).sort((a, b) => b.own - a.own);
}

function partsOf(task, slices) {
  const inside = slices.filter((it) => it !== task && it.tid === task.tid && it.ts >= task.ts && it.ts + it.dur <= task.ts + task.dur && it.dur > 1000 * SHOWN_MILLISECONDS);
  return inside.sort((a, b) => a.ts - b.ts).slice(0, SHOWN_PARTS).map(({ name, dur, tdur = NaN, args }) => (
    `${name}: ${(dur / 1000).toFixed(1)} ms, ${(tdur / 1000).toFixed(1)} of them on a core ${JSON.stringify(args?.data ?? {}).slice(0, 120)}`));
}

/** How long a thread has been ready to run without running, over time. Traces have the same clock. */
class Waits {
  samples = [];

  constructor(tid) {
    this.path = `/proc/${tid}/schedstat`;
  }

  sample() {
    try {
      // Nanoseconds on a core, and waiting for one (kernel documentation, sched-stats).
      const waited = Number(readFileSync(this.path, 'utf8').split(' ')[1]) / 1000;
      this.samples.push({ at: Number(process.hrtime.bigint() / 1000n), waited });
    } catch {
      // The process has ended.
    }
  }

  /** Microseconds. */
  between(begin, end) {
    const before = this.samples.findLast(({ at }) => at <= begin) ?? this.samples[0];
    const after = this.samples.find(({ at }) => at >= end) ?? this.samples.at(-1);
    return before && after ? after.waited - before.waited : 0;
  }
}
