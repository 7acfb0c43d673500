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
  if (row.profile) parts.push(profileText(row));
  return parts.join('\n');
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
