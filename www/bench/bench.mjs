// Runs rows of the bench in a browser and prints what they found; --only names opponents of the training rows.
//
//   node bench.mjs cpu|webgpu|scale [--browser chromium|firefox] [--rows NAME,NAME] [--seconds N] [--count IMAGES] [--only OPPONENT,OPPONENT]
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createEngine } from '../dist/node.js';
import { ISOLATING, serve } from '../e2e/server.mjs';
import { chromium, firefox } from './browsers.mjs';
import { writeNetworks } from './nets.mjs';
import { ratios, rowText, table } from './table.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const TARGET = here('../../target/bench');
/** A row that takes longer is given up. */
const PATIENCE = 10 * 60_000;
const COLD_ROUNDS = 7;

const forwards = ['mobilenet_v2', 'efficientnet_lite0', 'resnet18', 'squeezenet1_1', 'vgg16'];
/** Queries of each suite's rows, by name. */
const SUITES = {
  cpu: {
    ...Object.fromEntries(forwards.map((net) => [net, { row: 'forward', net }])),
    photos: { row: 'photos', rounds: 3, seconds: 60, warmUp: 1 },
    head: { row: 'head', threads: 1 },
    'head-threads': { row: 'head', threads: cpus().length },
    blocks: { row: 'blocks', rounds: 20, warmUp: 1 },
    cold: { row: 'cold' },
  },
  webgpu: {
    'webgpu-forward': { row: 'webgpu-forward', rounds: 7, seconds: 60, warmUp: 2 },
    'webgpu-head': { row: 'webgpu-head', rounds: 15 },
    'webgpu-blocks': { row: 'webgpu-blocks', rounds: 5, seconds: 60, warmUp: 1 },
  },
  scale: { 'scale-10': { row: 'scale', count: 10 }, 'scale-100': { row: 'scale', count: 100 }, 'scale-1000': { row: 'scale', count: 1000 }, 'scale-10000': { row: 'scale', count: 10_000 } },
};
/** Rows that are measured in Firefox too. */
const IN_FIREFOX = ['mobilenet_v2', 'photos', 'efficientnet_lite0', 'resnet18', 'squeezenet1_1'];
const GPU_FLAGS = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

const { positionals: [suite = 'cpu'], values: options } = parseArgs({
  allowPositionals: true,
  options: { browser: { type: 'string', default: 'chromium' }, rows: { type: 'string' }, seconds: { type: 'string' }, only: { type: 'string' }, count: { type: 'string' } },
});
if (!SUITES[suite]) throw new Error(`no suite ${suite}: one of ${Object.keys(SUITES).join(', ')}`);

const all = Object.keys(SUITES[suite]);
const names = options.rows?.split(',') ?? (options.browser === 'firefox' && suite === 'cpu' ? IN_FIREFOX : all);
const unknown = names.find((name) => !all.includes(name));
if (unknown) throw new Error(`no row ${unknown}: one of ${all.join(', ')}`);

process.once('SIGTERM', () => process.exit(143));
const say = (text) => console.log(`   ${text}`);
await mkdir(TARGET, { recursive: true });
await writeNetworks({ assets: here('../../assets'), to: `${TARGET}/nets`, createEngine, log: say });

/** Who waits for the page's result. */
let waiting;
const server = await serve({
  site: `${TARGET}/site`,
  photos: here('../../assets/photos'),
  folders: {
    nets: `${TARGET}/nets`, package: here('../dist'), imagenet: here('../../assets/imagenet'),
    ort: here('node_modules/onnxruntime-web/dist'), tfjs: here('node_modules/@tensorflow'),
  },
  headers: { ...ISOLATING, 'cache-control': 'max-age=86400' },
  onPost(path, body) {
    const content = JSON.parse(body);
    if (path === 'say') say(content.text);
    else if (content.error) waiting?.reject(new Error(content.error));
    else waiting?.resolve(content.row);
  },
});
const browser = options.browser === 'firefox'
  ? await firefox({ geckodriver: process.env.GECKODRIVER ?? 'geckodriver', firefox: process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr' })
  : await chromium({ flags: suite === 'webgpu' ? GPU_FLAGS : [], onLine: say });

async function open(page, query) {
  const url = new URL(`${page}?${new URLSearchParams(query)}`, server.url);
  const result = new Promise((resolve, reject) => (waiting = { resolve, reject }));
  const patience = setTimeout(() => waiting.reject(new Error(`${url.search}: no answer`)), PATIENCE);
  result.catch(() => undefined);
  try {
    await browser.open(url.href);
    return await result;
  } finally {
    clearTimeout(patience);
  }
}

/** Page load to first prediction: the first load fills the browser's caches. */
async function cold() {
  const engines = ['regraft', 'tfjs', 'ort'];
  const times = Object.fromEntries(engines.map((engine) => [engine, []]));
  const found = {};
  for (let round = 0; round <= COLD_ROUNDS; round++) {
    for (const engine of engines) {
      const { milliseconds, index } = await open('cold.html', { engine });
      if (round > 0) times[engine].push(milliseconds);
      found[engine] = index;
    }
  }
  if (new Set(Object.values(found)).size > 1) throw new Error(`different predictions: ${JSON.stringify(found)}`);
  const timings = engines.map((engine) => {
    const sorted = times[engine].toSorted((a, b) => a - b);
    const at = (share) => sorted[Math.round((sorted.length - 1) * share)];
    return { name: engine, version: '', threads: cpus().length, rounds: sorted.length, min: at(0), median: at(0.5), q1: at(0.25), q3: at(0.75) };
  });
  return { title: 'cold: page load to first prediction, MobileNetV2, files in the cache', unit: 'load', timings, notes: [`all predict class ${found.regraft}`] };
}

const given = Object.fromEntries(['seconds', 'only', 'count'].filter((name) => options[name]).map((name) => [name, options[name]]));
const machine = `${cpus()[0].model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`;
console.log(`\n${browser.version}; ${machine}`);
const rows = [];
let failed = false;
for (const name of names) {
  const query = SUITES[suite][name];
  console.log(`\n${name}`);
  try {
    const made = query.row === 'cold' ? await cold() : await open('index.html', { ...query, ...given });
    // What else runs here: above one a core, minima and ratios of one row are all that can be compared.
    const load = loadavg()[0];
    for (const row of [made].flat()) {
      rows.push({ name, load, ...row });
      console.log(`\n${rowText(row)}\nload of the machine: ${load.toFixed(1)} on ${cpus().length} cores`);
    }
  } catch (error) {
    failed = true;
    console.log(`${name} failed: ${error.message}`);
  }
}
await browser.close();
await server.close();

const summary = rows.flatMap((row) => ratios(row).map(({ name, peer, min, median }) => [row.title, name, peer, `${min.toFixed(2)}×`, `${median.toFixed(2)}×`]));
if (summary.length > 0) console.log(`\n## Ratios\n${table([['row', 'ours', 'best peer', 'by min', 'by median'], ...summary])}`);
const file = `${TARGET}/${suite}-${options.browser}.json`;
await writeFile(file, JSON.stringify({ browser: browser.version, machine, date: new Date().toISOString(), rows }, null, 1));
console.log(`\n${file}`);
process.exitCode = failed ? 1 : 0;
