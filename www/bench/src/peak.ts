// What the best loop makes of this core: a register tile of rows × 8 over data in the first cache, each row's factor splat from
// memory. A loop of fused multiply-adds alone is slower than that in V8, so it is no measure of the core.

const DEPTH = 128;
const LANES = 8;
/** Multiply-adds of a timed run: about 10 ms. */
const WORK = 250e6;
const ROUNDS = 12;

const leb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);
const signed = (value: number): number[] => {
  const byte = value & 127;
  const rest = value >> 7;
  return (rest === 0 && !(byte & 64)) || (rest === -1 && byte & 64) ? [byte] : [byte | 128, ...signed(rest)];
};
const section = (id: number, body: readonly number[]): number[] => [id, ...leb(body.length), ...body];
const get = (local: number): number[] => [0x20, ...leb(local)];
const set = (local: number): number[] => [0x21, ...leb(local)];
const i32 = (value: number): number[] => [0x41, ...signed(value)];
const load = (offset: number): number[] => [0xfd, 0x00, 4, ...leb(offset)];
const loadSplat = (offset: number): number[] => [0xfd, 0x09, 2, ...leb(offset)];
const store = (offset: number): number[] => [0xfd, 0x0b, 4, ...leb(offset)];
const relaxedMadd = [0xfd, 0x85, 0x02];
const mul = [0xfd, 0xe6, 0x01];
const add = [0xfd, 0xe4, 0x01];

/** (func (export "run") (param $times i32)): $times tiles of rows × 8 × DEPTH; the memory is `m`. */
function tileModule(rows: number, fused: boolean): Uint8Array<ArrayBuffer> {
  // Locals: 0 times, 1 a, 2 b, 3 left, then b0, b1, a row's factor, its products, then the accumulators.
  const [times, a, b, left, b0, b1, factor, p0, p1, first] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  const rowBytes = DEPTH * 4;
  const panel = 16 * 1024;
  const fusedPair = (acc: number): number[] => [b0, b1].flatMap((half, at) => [...get(factor), ...get(half), ...get(acc + at), ...relaxedMadd, ...set(acc + at)]);
  // Both products before both sums: with each sum behind its product AMD's Zen 4 takes a seventh longer.
  const pair = (acc: number): number[] => [
    ...[b0, b1].flatMap((half, at) => [...get(factor), ...get(half), ...mul, ...set([p0, p1][at]!)]),
    ...[p0, p1].flatMap((product, at) => [...get(acc + at), ...get(product), ...add, ...set(acc + at)]),
  ];
  const inner = [
    ...get(b), ...load(0), ...set(b0), ...get(b), ...load(16), ...set(b1),
    ...Array.from({ length: rows }, (_, row) => [
      ...get(a), ...loadSplat(row * rowBytes), ...set(factor), ...(fused ? fusedPair : pair)(first + 2 * row),
    ]).flat(),
    ...get(a), ...i32(4), 0x6a, ...set(a), ...get(b), ...i32(32), 0x6a, ...set(b),
    ...get(left), ...i32(1), 0x6b, 0x22, ...leb(left), 0x0d, 0,
  ];
  const body = [
    2, ...leb(3), 0x7f, ...leb(5 + 2 * rows), 0x7b,
    0x03, 0x40,
    ...i32(0), ...set(a), ...i32(panel), ...set(b), ...i32(DEPTH), ...set(left),
    0x03, 0x40, ...inner, 0x0b,
    ...get(times), ...i32(1), 0x6b, 0x22, ...leb(times), 0x0d, 0,
    0x0b,
    // Used, so that no compiler leaves the work out.
    ...Array.from({ length: 2 * rows }, (_, at) => [...i32(0), ...get(first + at), ...store(32 * 1024 + 16 * at)]).flat(),
    0x0b,
  ];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 1, 0x7f, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, 3, 0x72, 0x75, 0x6e, 0, 0, 1, 0x6d, 2, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ]);
}

/** Of all calls: a core that is shared shows what it can do now and then. */
const best = new Map<string, number>();

/** GFLOP/s of one thread: with fused multiply-adds, and with two instructions for them. */
export async function measurePeak(): Promise<{ name: string; gflops: number }[]> {
  const loops = [6, 5].flatMap((rows) => [true, false].map((fused) => ({ rows, fused })));
  const runs = await Promise.all(loops.map(async ({ rows, fused }) => {
    const { instance } = await WebAssembly.instantiate(tileModule(rows, fused));
    // Pages that were never written may all be one page of zeros, in which A and B get in each other's way.
    new Float32Array((instance.exports['m'] as WebAssembly.Memory).buffer).fill(1 / 1024);
    return { rows, name: fused ? 'fused multiply-add' : 'multiply, then add', run: instance.exports['run'] as (times: number) => void };
  }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { rows, name, run } of runs) {
      const perTile = rows * LANES * DEPTH;
      const times = Math.round(WORK / perTile);
      const begin = performance.now();
      run(times);
      const gflops = 2 * perTile * times / (performance.now() - begin) / 1e6;
      best.set(name, Math.max(best.get(name) ?? 0, gflops));
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
  return [...best].map(([name, gflops]) => ({ name, gflops }));
}
