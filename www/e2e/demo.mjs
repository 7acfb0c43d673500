// What scripts/demo runs: the demo page, driven in headless Chromium from photos to exported files.
//
//   node www/e2e/demo.mjs [--exit]
//
// Prints what came out, writes the exported models and a screenshot to target/demo/, then serves the page; --exit leaves that out.
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';
import { download, fact, openPage, train, watchConsole } from './page.mjs';
import { sampleIndex, serve } from './server.mjs';

const PORT = 8080;
const LOAD_MILLISECONDS = 120_000;

const root = fileURLToPath(new URL('../..', import.meta.url));
const site = process.env.REGRAFT_SITE ?? join(root, 'target/site');
const photos = join(root, 'assets/photos');
const out = join(root, 'target/demo');

const percent = (share) => `${(share * 100).toFixed(1)} %`;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** What the page says it runs on, without the button behind it. */
const device = (page) => page.locator('#device').evaluate((line) => (
  [...line.childNodes].filter((node) => node.nodeName !== 'BUTTON').map((node) => node.textContent).join('').replace(/^Runs on /, '').trim()));

async function fineTune(page, url) {
  await openPage(page, url, { timeout: LOAD_MILLISECONDS });
  const { classes } = await sampleIndex(photos);
  const images = Object.values(classes).reduce((sum, files) => sum + files.length, 0);
  await page.getByRole('button', { name: 'Load sample photos' }).click();
  await page.locator('.class-list-foot').getByText(`${images} photos`).waitFor({ timeout: LOAD_MILLISECONDS });
  await train(page);

  const rows = [
    ['classes', Object.entries(classes).map(([name, files]) => `${name} ${files.length}`).join(', ')],
    ['images', `${await fact(page, 'images')}, ${await fact(page, 'test-count')} of them kept aside for the test`],
    ['backend', await device(page)],
    ['featurize', `${(await fact(page, 'featurize-rate')).toFixed(1)} images/s`],
    ['training', `${(await fact(page, 'train-seconds')).toFixed(2)} s, ${await fact(page, 'epochs')} epochs`],
    ['test accuracy', `${percent(await fact(page, 'accuracy'))}, 95 % interval ${percent(await fact(page, 'accuracy-low'))} to ${percent(await fact(page, 'accuracy-high'))}`],
  ];
  for (const format of ['onnx', 'regraft']) {
    const { file, bytes, difference } = await download(page, format);
    await file.saveAs(join(out, file.suggestedFilename()));
    rows.push([file.suggestedFilename(), `${megabytes(bytes)}, largest difference after re-import ${difference.toExponential(1)}`]);
  }
  return rows;
}

function table(rows) {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n');
}

async function serveForPeople() {
  const server = await serve({ site, photos, port: PORT }).catch(() => serve({ site, photos }));
  console.log(`\nThe page is at ${server.url} (Ctrl-C ends it)`);
}

async function main() {
  const exit = process.argv.includes('--exit');
  const needs = [[join(site, 'index.html'), 'scripts/build --site'], [photos, 'scripts/assets']];
  for (const [path, remedy] of needs) if (!existsSync(path)) throw new Error(`${path} is missing: run ${remedy}`);
  await mkdir(out, { recursive: true });

  const browser = await launch();
  const server = await serve({ site, photos });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const problems = watchConsole(page);
    console.log(table(await fineTune(page, server.url)));
    await page.screenshot({ path: join(out, 'page.png'), fullPage: true });
    console.log(`\nFiles and screenshot are in ${out}`);
    if (problems.length > 0) throw new Error(`the page reported: ${problems.join('; ')}`);
  } finally {
    await browser.close();
    await server.close();
  }
  if (!exit) await serveForPeople();
}

main().catch((error) => {
  console.error(`demo: ${error.message}`);
  process.exitCode = 1;
});
