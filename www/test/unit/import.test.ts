import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

/** Globals that a server rendering pages does not have, or has in name only. */
const BROWSER = ['window', 'document', 'navigator', 'location', 'self', 'Worker', 'OffscreenCanvas', 'createImageBitmap', 'caches', 'indexedDB'];

test('importing either entry touches no global of browsers', async () => {
  const touched: string[] = [];
  for (const name of BROWSER) {
    Object.defineProperty(globalThis, name, { configurable: true, get: () => { touched.push(name); return undefined; } });
  }
  const entries = [await import('../../src/index.js'), await import('../../src/node.js')];
  assert.deepEqual(touched, []);
  for (const entry of entries) assert.deepEqual(Object.keys(entry).sort(), ['RegraftError', 'createEngine', 'version']);
});

test('the version is that of the package', async () => {
  const { version } = await import('../../src/version.js');
  assert.equal(version, (JSON.parse(await readFile('package.json', 'utf8')) as { version: string }).version);
});
