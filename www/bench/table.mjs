// What the rows found, as text.

const number = (value) => (value === undefined ? '' : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const isOurs = ({ name }) => name.startsWith('regraft');

/** Pads the columns of a table; all but the first are right-aligned. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column] ?? '').length)));
  return rows.map((row) => row.map((cell, column) => (
    column === 0 ? String(cell ?? '').padEnd(widths[column]) : String(cell ?? '').padStart(widths[column]))).join('  ').trimEnd()).join('\n');
}

/** Ratios of the fastest opponent to each of ours, by the fastest round and by the median. */
export function ratios({ timings }) {
  const peers = timings.filter((timing) => !isOurs(timing));
  const best = (key) => peers.reduce((a, b) => (b[key] < a[key] ? b : a));
  if (peers.length === 0) return [];
  return timings.filter(isOurs).map((ours) => (
    { name: ours.name, peer: best('min').name, min: best('min').min / ours.min, median: best('median').median / ours.median }));
}

export function rowText(row) {
  const head = ['', 'threads', `min ms/${row.unit}`, 'median', 'middle half', 'rounds', 'first ms', 'max |Δ|'];
  const lines = row.timings.map((t) => [
    `${t.name} ${t.version}`, t.threads || '', number(t.min), number(t.median), `${number(t.q1)}–${number(t.q3)}`, t.rounds, number(t.first),
    t.difference === undefined ? '' : t.difference.toExponential(1),
  ]);
  const parts = [`## ${row.title}`, ...lines.length > 0 ? [table([head, ...lines])] : []];
  for (const { name, peer, min, median } of ratios(row)) {
    parts.push(`${name}: ${min.toFixed(2)}× the best peer (${peer}) by min, ${median.toFixed(2)}× by median`);
  }
  for (const { name, reason } of row.absent ?? []) parts.push(`absent: ${name}: ${reason.slice(0, 200)}`);
  parts.push(...(row.notes ?? []));
  if (row.timings.some(({ calls }) => calls)) parts.push(callsText(row));
  if (row.profile?.some(({ gpu }) => gpu)) parts.push(gpuText(row));
  else if (row.profile) parts.push(profileText(row));
  return parts.join('\n');
}

/** What each asks of WebGPU for a unit. */
function callsText({ timings, unit }) {
  const head = [`for each ${unit}, ends of epochs shared`, 'dispatches', 'submits', 'bind groups', 'buffers', 'pipelines', 'bytes written', 'bytes read'];
  const shown = (value) => (Number.isInteger(value) || value >= 100 ? String(Math.round(value)) : value.toFixed(2));
  return table([head, ...timings.filter(({ calls }) => calls).map(({ name, calls: c }) => (
    [name, ...[c.dispatches, c.submits, c.bindGroups, c.buffers, c.pipelines, c.bytesWritten, c.bytesRead].map(shown)]))]);
}

/** The GPU that counts are held against: multiply-adds and bytes a second. */
const GPU = { flops: 5e12, bandwidth: 200e9 };
/** Words a second that its caches give: a word for four multiply-adds, as 32 words and 128 multiply-adds a clock and core are. */
const CACHE_WORDS = GPU.flops / 2 / 4;
/** Invocations that keep its arithmetic busy, and those that keep its memory busy: each has about 64 bytes under way, for half a microsecond. */
const LANES = 16_384;
const READERS = GPU.bandwidth * 0.5e-6 / 64;

/** A step by its count: the roofline's time and what is expected, in seconds, and what is in the way. */
function expected({ gpu: { macs, bytes, invocations, loads } }) {
  const [compute, memory] = [2 * macs / GPU.flops, bytes / GPU.bandwidth];
  const limits = [
    ['arithmetic', compute], ['memory', memory],
    ['too few invocations', Math.max(compute * LANES / invocations, memory * READERS / invocations)],
    ['operands loaded again', loads / CACHE_WORDS],
  ];
  // Where two are the same, it is the first: the roofline itself.
  const [limit, time] = limits.reduce((a, b) => (b[1] > a[1] ? b : a));
  return { roofline: Math.max(compute, memory), time, limit };
}

/** Our steps on the GPU: sums by op as they ran here, then by count those planned for a GPU of usual size. */
function gpuText({ profile, planned = profile }) {
  const sums = (steps, values) => {
    const kinds = new Map();
    for (const step of steps) {
      const of = values(step);
      const sum = kinds.get(step.op);
      kinds.set(step.op, sum ? of.map((value, at) => value + sum[at]) : of);
    }
    return [...kinds];
  };
  const here = sums(profile, ({ gpu, time }) => [1, gpu.dispatches, time, gpu.macs / 1e6]);
  const counted = sums(planned, (step) => {
    const { gpu: { macs, bytes, dispatches } } = step;
    const { roofline, time } = expected(step);
    return [1, dispatches, macs / 1e6, bytes / 1e6, 1e6 * roofline, 1e6 * time];
  });
  const total = (kinds, at) => kinds.reduce((sum, [, values]) => sum + values[at], 0);
  const below = planned.filter((step) => { const { roofline, time } = expected(step); return roofline < time / 2; });
  return [
    `steps here, each run alone, sum to ${number(total(here, 2))} ms`,
    table([['op', 'steps', 'dispatches', 'ms', 'GFLOP/s'], ...here.sort((a, b) => b[1][2] - a[1][2]).map(([op, [steps, dispatches, time, macs]]) => (
      [op, steps, dispatches, time.toFixed(3), macs ? (2 * macs / time).toFixed(1) : '']))]),
    'slowest:',
    table([['vertex', 'op', 'input', 'output', 'ms', 'GFLOP/s'], ...profile.toSorted((a, b) => b.time - a.time).slice(0, LISTED).map((step) => (
      [step.vertex, step.op, step.input.join('×'), step.output.join('×'), step.time.toFixed(3), step.gpu.macs ? (2 * step.gpu.macs / step.time / 1e6).toFixed(1) : '']))]),
    `by count, as planned for a GPU of usual size, ${GPU.flops / 1e12} TFLOP/s and ${GPU.bandwidth / 1e9} GB/s: the roofline of all steps is ${total(counted, 4).toFixed(0)} µs, what these`,
    `kernels can reach ${total(counted, 5).toFixed(0)} µs, without what it takes to begin each of ${total(counted, 1)} dispatches`,
    table([['op', 'steps', 'dispatches', 'Mmac', 'MB', 'flop/byte', 'roofline µs', 'can reach µs'], ...counted.sort((a, b) => b[1][5] - a[1][5]).map(([op, [steps, dispatches, macs, bytes, roofline, time]]) => (
      [op, steps, dispatches, macs.toFixed(1), bytes.toFixed(2), (2 * macs / bytes).toFixed(1), roofline.toFixed(1), time.toFixed(1)]))]),
    `below half of that roofline: ${below.length} of ${planned.length} steps, ${(1e6 * below.reduce((sum, step) => sum + expected(step).time, 0)).toFixed(0)} µs`,
    ...below.length === 0 ? [] : [table([['vertex', 'op', 'output', 'invocations', 'Mmac', 'MB', 'flop/byte', 'loads/mac', 'of roofline', 'because'], ...below.map((step) => {
      const { roofline, time, limit } = expected(step);
      const { macs, bytes, invocations, loads } = step.gpu;
      return [step.vertex, step.op, step.output.join('×'), invocations, (macs / 1e6).toFixed(2), (bytes / 1e6).toFixed(3), (2 * macs / bytes).toFixed(1),
        macs ? (loads / macs).toFixed(2) : '', `${(100 * roofline / time).toFixed(0)} %`, limit];
    })])],
  ].join('\n');
}

const LISTED = 12;

/** Our steps: sums by op and shape class, then the layers that lose most time against the peak. */
function profileText({ profile, peak }) {
  const gflops = peak?.find(({ name }) => name.startsWith('fused'))?.gflops;
  const total = profile.reduce((sum, { time }) => sum + time, 0);
  const share = (macs, time) => (macs && gflops ? `${(2 * macs / time / 1e6 / gflops * 100).toFixed(0)} %` : '');
  const rate = (macs, time) => (macs ? (2 * macs / time / 1e6).toFixed(1) : '');
  const kinds = new Map();
  for (const step of profile) {
    const sum = kinds.get(step.op) ?? { count: 0, macs: 0, time: 0 };
    kinds.set(step.op, { count: sum.count + 1, macs: sum.macs + step.macs, time: sum.time + step.time });
  }
  const byTime = [...kinds].sort((a, b) => b[1].time - a[1].time);
  const lost = ({ macs, time }) => time - (gflops ? 2 * macs / gflops / 1e6 : 0);
  const weakest = profile.toSorted((a, b) => lost(b) - lost(a)).slice(0, LISTED);
  return [
    `peak: ${(peak ?? []).map((p) => `${p.gflops.toFixed(1)} GFLOP/s ${p.name}`).join(', ')}; steps sum to ${number(total)} ms`,
    table([['op', 'steps', 'ms', 'of all', 'GFLOP/s', 'of peak'], ...byTime.map(([op, { count, macs, time }]) => (
      [op, count, time.toFixed(3), `${(100 * time / total).toFixed(0)} %`, rate(macs, time), share(macs, time)]))]),
    `steps that lose most time against the peak:`,
    table([['vertex', 'op', 'input', 'output', 'ms', 'lost', 'GFLOP/s', 'of peak'], ...weakest.map((step) => (
      [step.vertex, step.op, step.input.join('×'), step.output.join('×'), step.time.toFixed(3), lost(step).toFixed(3), rate(step.macs, step.time), share(step.macs, step.time)]))]),
  ].join('\n');
}
