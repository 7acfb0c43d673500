import { join } from 'node:path';
import { launch } from './browser.mjs';
import { ISOLATING, serve } from './server.mjs';
const dist = process.argv[2] ?? '/work/wt/threads/www/dist';
const rounds = Number(process.argv[3] ?? 3);
const plain = await serve({ site: dist }), isolated = await serve({ site: dist, headers: ISOLATING });
const browser = await launch();
async function open(server, threads) {
  const page = await browser.newPage();
  page.on('console', (m) => console.log('console', m.text()));
  await page.goto(`${server.url}index.js`);
  await page.evaluate(async ({ module, threads }) => {
    const { createEngine } = await import(module);
    const engine = await createEngine({ threads });
    const base = await engine.load({ zoo: 'mobilenet_v2', weights: 'none' });
    const side = 224;
    const pixels = (seed) => Uint8Array.from({ length: side * side * 3 }, (_, at) => ((at + 1) * (seed + 7) * 2654435761) >>> 24);
    const images = Array.from({ length: 64 }, (_, s) => ({ data: pixels(s), width: side, height: side, channels: 3 }));
    const labels = ['a', 'b', 'c', 'd', 'e'];
    const head = await base.classifier({ labels, hidden: [100], seed: 1 });
    const helper = head.transferLearningHelper();
    const min = (xs) => Math.min(...xs), median = (xs) => [...xs].sort((a, b) => a - b)[xs.length >> 1];
    const fmt = (xs) => `${min(xs).toFixed(2)} (${median(xs).toFixed(2)})`;
    let n = 0;
    const all = {};
    const note = (k, x) => { (all[k] ??= []).push(x); };
    const boundary = head.vertices.filter(({ type }) => /^add$/i.test(type)).at(-2).name;
    const open = await head.transferLearning().unfreeze().setFeatureExtractor(boundary).build();
    window.round = async () => {
      for (let i = 0; i < 12; i++) { const t = performance.now(); await base.predict(images[0]); note('predict ms', performance.now() - t); }
      {
        const data = await engine.dataset(images.map((image, i) => ({ image: { ...image, data: image.data.slice() }, label: labels[i % 5] })));
        const t = performance.now(); const set = await helper.featurize(data); note('featurize ms/image', (performance.now() - t) / 64);
        await helper.fitFeaturized(set, { epochs: 2, batchSize: 32 });
        const h = await helper.fitFeaturized(set, { epochs: 50, batchSize: 32, updater: { type: 'adam' } });
        note('head step ms', h.seconds.train * 1000 / h.iterations.length);
        const bt = performance.now();
        const o = await open.transferLearningHelper();
        const of = await o.featurize(data);
        const b = await o.fitFeaturized(of, { epochs: 1, batchSize: 16, updater: { type: 'adam' } });
        note('block step ms', b.seconds.train * 1000 / b.iterations.length);
        await set.dispose(); await of.dispose();
      }
    };
    window.report = async () => ({ simd: engine.device.simd, mem: (await engine.memory()).wasmBytes / 2 ** 20, ...Object.fromEntries(Object.entries(all).map(([k, v]) => [k, fmt(v)])) });
  }, { module: `${server.url}index.js`, threads });
  return page;
}
const cases = { 'plain 1': [plain, 1], 'plain 2': [plain, 2], 'shared 2': [isolated, 2] };
const pages = {};
for (const [k, [s, t]] of Object.entries(cases)) pages[k] = await open(s, t);
for (let r = 0; r < rounds; r++) for (const p of Object.values(pages)) await p.evaluate(() => window.round());
for (const [k, p] of Object.entries(pages)) console.log(k, JSON.stringify(await p.evaluate(() => window.report()), null, 1));
await browser.close(); await plain.close(); await isolated.close();
