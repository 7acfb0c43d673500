// Times planned networks step by step in headless Chromium, several builds interleaved in one page.
//
//   node benches/layers/layers.mjs [--passes N] [--batch N] [--steps] NAME=FILE.wasm... NET...
//
// NET is a zoo architecture or 'conv H W C K STRIDE M'. Prints the whole network and, with --steps, every step: the smallest of all
// passes, and GFLOP/s with two operations per multiply-accumulate.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { findChromium } from '../../www/e2e/browser.mjs';
import { chromium } from '../../www/node_modules/playwright-core/index.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { passes: { type: 'string', default: '40' }, batch: { type: 'string', default: '1' }, steps: { type: 'boolean' } },
});
const builds = positionals.filter((p) => p.includes('=')).map((p) => p.split('='));
const nets = positionals.filter((p) => !p.includes('='));

// Isolated from other origins: timers then resolve 5 instead of 100 microseconds.
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
const server = createServer((request, response) => {
  const build = builds.find(([name]) => request.url === `/${name}.wasm`);
  response.writeHead(200, { ...headers, 'Content-Type': build ? 'application/wasm' : 'text/html' });
  response.end(build ? readFileSync(build[1]) : '<!doctype html>');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

async function measure({ names, net, batch, passes }) {
  const runs = [];
  for (const name of names) {
    const module = await WebAssembly.compileStreaming(fetch(`/${name}.wasm`));
    const imports = {};
    for (const entry of WebAssembly.Module.imports(module)) {
      (imports[entry.module] ??= {})[entry.name] = () => {
        throw new Error(`${entry.name} was called`);
      };
    }
    const { exports } = await WebAssembly.instantiate(module, imports);
    const bytes = new TextEncoder().encode(net);
    const at = exports.text(bytes.length);
    new Uint8Array(exports.memory.buffer, at, bytes.length).set(bytes);
    const before = performance.now();
    const count = exports.load(batch);
    const text = new TextDecoder().decode(new Uint8Array(exports.memory.buffer, exports.text_at(), exports.text_len()));
    if (count === 0) throw new Error(text);
    const [peak, ...lines] = text.trim().split('\n');
    const first = performance.now();
    exports.run();
    const cold = performance.now() - first;
    const memory = exports.memory.buffer.byteLength;
    const steps = lines.map((line) => line.split('\t')).map(([vertex, op, macs, shapes]) => ({ vertex, op, macs: +macs, shapes, ms: Infinity }));
    runs.push({ name, exports, steps, peak: +peak, memory, load: first - before, cold, totals: [] });
  }
  for (let pass = 0; pass < passes; pass += 1) {
    for (const run of runs) {
      run.exports.run();
      const start = performance.now();
      run.exports.run();
      run.totals.push(performance.now() - start);
      for (const [index, step] of run.steps.entries()) {
        const start = performance.now();
        run.exports.step(index);
        step.ms = Math.min(step.ms, performance.now() - start);
      }
    }
  }
  return runs.map(({ exports: _, ...run }) => run);
}

// Steady state from the first pass on: no function runs as compiled by the baseline tier.
const args = ['--headless=new', '--no-sandbox', '--disable-quic', '--disable-background-networking', '--js-flags=--no-liftoff'];
const browser = await chromium.launch({ executablePath: findChromium(), args });
try {
  for (const net of nets) {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const runs = await page.evaluate(measure, { names: builds.map(([n]) => n), net, batch: +values.batch, passes: +values.passes });
    console.log(`\n${net}, batch ${values.batch}`);
    for (const run of runs) {
      const sorted = run.totals.toSorted((a, b) => a - b);
      const macs = run.steps.reduce((sum, s) => sum + s.macs, 0);
      // On a busy machine a whole pass is interrupted, most steps are not.
      const steps = run.steps.reduce((sum, s) => sum + s.ms, 0);
      console.log(
        `  ${run.name.padEnd(12)} min ${sorted[0].toFixed(2)} ms, median ${sorted[sorted.length >> 1].toFixed(2)} ms, ` +
          `smallest steps together ${steps.toFixed(2)} ms, ${(macs / steps / 5e5).toFixed(1)} GFLOP/s, cold ${run.cold.toFixed(0)} ms, load ${run.load.toFixed(0)} ms, ` +
          `plan ${(run.peak / 1e6).toFixed(1)} MB, memory ${(run.memory / 1e6).toFixed(0)} MB`,
      );
    }
    const groups = new Map();
    for (const [b, run] of runs.entries()) {
      for (const step of run.steps) {
        const key = step.op === 'conv2d' ? `conv2d ${step.shapes.split(' ')[1].replace(/^\[(\d+), (\d+).*/, '$1×$2')}` : step.op;
        if (!groups.has(key)) groups.set(key, runs.map(() => ({ ms: 0, macs: 0 })));
        groups.get(key)[b].ms += step.ms;
        groups.get(key)[b].macs += step.macs;
      }
    }
    const cell = ({ ms, macs }) => `${ms.toFixed(3).padStart(9)} ms ${macs ? (macs / ms / 5e5).toFixed(1).padStart(6) : '      '}`;
    for (const [key, cells] of groups) console.log(`    ${key.padEnd(20)}${cells.map(cell).join('')}`);
    if (values.steps) {
      for (const [index, step] of runs[0].steps.entries()) {
        const cells = runs.map((run) => (run.steps.length === runs[0].steps.length ? cell(run.steps[index]) : ''));
        console.log(`    ${cells.join('')}  ${step.op} ${step.shapes}`);
      }
    }
    await page.close();
  }
} finally {
  await browser.close();
  server.close();
}
