// Pages that are cross-origin isolated: the build with threads gives what the others give, bit for bit, from one copy of the weights;
// and the demo page gets there on hosts that send no headers. Needs www/dist, target/site (scripts/build --site) and assets/.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { launch } from './browser.mjs';
import { classFolders, fact, openPage, photosInput, train, watchConsole } from './page.mjs';
import { ISOLATING, serve } from './server.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dist = join(root, 'www/dist');
const site = process.env.REGRAFT_SITE ?? join(root, 'target/site');
/** The pretence engine (vite build --mode fake) has the page's behaviour but no knowledge. */
const fake = process.env.REGRAFT_SITE?.endsWith('fake') ?? false;
const photos = join(root, 'assets/photos');

let browser;
before(async () => { browser = await launch(); });
after(() => browser?.close());

/**
 * Everything an engine computes, on drawn weights and photos: features, losses of a head and of unfrozen layers, a prediction. Runs in the page.
 * @param {{ module: string, threads: number }} options
 */
async function compute({ module, threads }) {
  const { createEngine } = await import(module);
  const engine = await createEngine({ threads });
  try {
    const base = await engine.load({ zoo: 'mobilenet_v2', weights: 'none' });
    const side = 96;
    const pixels = (seed) => Uint8Array.from({ length: side * side * 3 }, (_, at) => ((at + 1) * (seed + 7) * 2654435761) >>> 24);
    const samples = Array.from({ length: 12 }, (_, seed) => ({ image: { data: pixels(seed), width: side, height: side, channels: 3 }, label: `class ${seed % 3}` }));
    const data = await engine.dataset(samples);
    const head = await base.classifier({ labels: data.labels, hidden: [100], seed: 1 });
    const boundary = head.vertices.findLast(({ type }) => /^add$/i.test(type)).name;
    const features = await head.transferLearningHelper().featurize(data);
    const tensors = await features.toTensors();
    const losses = await head.fit(data, { epochs: 3, batchSize: 4, seed: 1 });
    const open = await head.transferLearning().unfreeze().setFeatureExtractor(boundary).build();
    const finer = await open.fit(data, { epochs: 1, batchSize: 4, seed: 1, batchNorm: 'train' });
    const predictions = await open.predict(samples[0].image);
    const { files } = await open.export('regraft');
    const plain = Object.values(files).every((bytes) => bytes.buffer instanceof ArrayBuffer)
      && Object.values(tensors).every(({ data: values }) => values.buffer instanceof ArrayBuffer);
    const { wasmBytes } = await engine.memory();
    return {
      device: engine.device, plain, wasmBytes,
      results: {
        features: Object.values(tensors).map(({ data: values }) => [...values]), predictions,
        losses: losses.iterations.map(({ loss }) => loss), finer: finer.iterations.map(({ loss }) => loss),
      },
    };
  } finally {
    await engine.dispose();
  }
}

describe('the build with threads', () => {
  let server;
  let page;
  const builds = [];
  before(async () => {
    server = await serve({ site: dist, headers: ISOLATING });
    page = await browser.newPage();
    page.on('request', (request) => builds.push(...(/wasm\/(.+)\/regraft_bg\.wasm/.exec(request.url())?.slice(1) ?? [])));
    await page.goto(`${server.url}index.js`);
  });
  after(() => server?.close());

  test('gives on 2 and 4 threads what the build without gives on one, bit for bit', async () => {
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    const module = `${server.url}index.js`;
    const alone = await page.evaluate(compute, { module, threads: 1 });
    assert.deepEqual(builds, ['relaxed-simd']);
    assert.equal(alone.results.losses.length, 9);
    assert.equal(alone.results.finer.length, 3);
    for (const threads of [2, 4]) {
      builds.length = 0;
      const shared = await page.evaluate(compute, { module, threads });
      assert.deepEqual(builds, ['relaxed-simd-threads']);
      assert.deepEqual(shared.device, { ...alone.device, threads });
      assert.deepEqual(shared.results, alone.results, `${threads} threads`);
      assert.ok(shared.plain, 'what is handed out is in memory of its own');
    }
  });
});

describe('the demo page on a host without headers', () => {
  let server;
  let page;
  let problems;
  /** What the page asked before it did something. */
  const questions = [];
  before(async () => {
    server = await serve({ site });
    page = await browser.newPage();
    page.on('dialog', (dialog) => {
      questions.push(`${dialog.type()}: ${dialog.message()}`);
      void dialog.accept();
    });
    problems = watchConsole(page);
    await openPage(page, server.url);
  });
  after(() => server?.close());

  const classes = () => page.locator('.class-card').evaluateAll((cards) => cards.map((card) => [card.querySelector('.class-name').value, card.querySelector('.tally').textContent]));
  const names = ['birds', 'flowers', 'fruit', 'mammals', 'my vegetables'];

  test('shares memory when asked to, and keeps the photos', async () => {
    const folders = await classFolders(photos, 4);
    await photosInput(page).setInputFiles(folders.root);
    await page.locator('.class-list-foot').getByText('20 photos in 5 classes').waitFor();
    await page.locator('.class-name').last().fill('my vegetables');
    assert.equal(await page.evaluate(() => crossOriginIsolated), false);
    await page.getByRole('button', { name: 'Share memory between cores' }).click();
    await page.locator('#device').getByText('shared memory').waitFor();
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    assert.deepEqual(await classes(), names.map((name) => [name, '4 photos']));
    await page.locator('.tile img[src^="blob:"]').first().waitFor();
    assert.deepEqual(questions, [], 'nothing is lost, so nothing is asked');
  });

  test('trains there', async () => {
    await page.locator('#model .lead').waitFor();
    await train(page);
    if (!fake) assert.ok(await fact(page, 'accuracy') > 0.4, 'chance is 0.2');
  });

  test('and stops sharing when asked to, after a question: what was learned goes', async () => {
    await page.getByRole('button', { name: 'Give each core its own memory' }).click();
    await page.getByRole('button', { name: 'Share memory between cores' }).waitFor();
    assert.equal(await page.evaluate(() => crossOriginIsolated), false);
    assert.deepEqual(questions.map((question) => question.split(':')[0]), ['confirm']);
    assert.deepEqual(await classes(), names.map((name) => [name, '4 photos']));
  });

  test('what was kept for the reload is kept no longer', async () => {
    questions.length = 0;
    await page.reload();
    await page.locator('#model .lead').waitFor();
    assert.deepEqual(questions.map((question) => question.split(':')[0]), ['beforeunload']);
    assert.deepEqual(await classes(), []);
  });

  test('nothing went wrong in the console', () => assert.deepEqual(problems, []));
});
