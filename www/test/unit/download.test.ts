import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { download, type DownloadOptions } from '../../src/worker/download.js';
import { sha256, verifyIntegrity } from '../../src/worker/integrity.js';

const weights = Uint8Array.from({ length: 3_000_000 }, (_, at) => at * 31);
const digest = (algorithm: string, bytes = weights): string => `${algorithm}-${createHash(algorithm).update(bytes).digest('base64')}`;

let requests = 0;
const server = createServer((request, response) => {
  requests++;
  if (request.url?.startsWith('/missing')) response.writeHead(404).end();
  else if (request.url?.startsWith('/hang')) response.writeHead(200).write(weights.subarray(0, 10));
  else if (request.url?.startsWith('/chunked')) response.writeHead(200).end(weights);
  else response.writeHead(200, { 'content-length': weights.length }).end(weights);
});
let origin = '';
before(() => new Promise<void>((resolve) => {
  server.listen(0, '127.0.0.1', () => { origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; resolve(); });
}));
after(() => { server.closeAllConnections(); server.close(); });

/** Cache Storage as far as it is used; Node has none. */
const kept = new Map<string, Response>();
beforeEach(() => {
  kept.clear();
  requests = 0;
  Object.assign(globalThis, { caches: { open: async () => ({
    match: async (key: string) => kept.get(key)?.clone(),
    put: async (key: string, response: Response) => void kept.set(key, response),
  }) } });
});

const get = (path: string, options: Partial<DownloadOptions> = {}): Promise<Uint8Array> => download(`${origin}${path}`, {
  integrity: undefined, cache: true, signal: new AbortController().signal, onProgress: () => undefined, ...options,
});

test('bytes arrive whole, with and without a known length, and progress ends at the end', async () => {
  for (const path of ['/weights', '/chunked']) {
    let last: unknown;
    const bytes = await get(path, { onProgress: (loaded, total) => { last = [loaded, total]; } });
    assert.equal(Buffer.compare(bytes, weights), 0);
    assert.deepEqual(last, [weights.length, path === '/weights' ? weights.length : undefined]);
  }
});

test('what was kept is not fetched again, per URL and integrity', async () => {
  await get('/weights');
  await get('/weights');
  assert.equal(requests, 1);
  await get('/weights', { integrity: digest('sha256') });
  await get('/weights', { integrity: digest('sha256') });
  await get('/weights?other');
  assert.equal(requests, 3);
  await get('/weights', { cache: false });
  assert.equal(requests, 4);
});

test('a wrong digest rejects, and nothing is kept', async () => {
  const wrong = digest('sha256', new Uint8Array(1));
  await assert.rejects(get('/weights', { integrity: wrong }), { code: 'integrity', detail: { digest: digest('sha256') } });
  assert.equal(kept.size, 0);
});

test('kept bytes that were damaged are fetched again', async () => {
  const integrity = digest('sha256');
  await get('/weights', { integrity });
  for (const key of kept.keys()) kept.set(key, new Response('damaged'));
  assert.equal((await get('/weights', { integrity })).length, weights.length);
  assert.equal(requests, 2);
});

test('storage that is full or blocked is no failure', async () => {
  Object.assign(globalThis, { caches: { open: async () => { throw new DOMException('no', 'QuotaExceededError'); } } });
  assert.equal((await get('/weights')).length, weights.length);
});

test('failures of the network are named', async () => {
  await assert.rejects(get('/missing'), { code: 'network', detail: { status: 404 } });
  await assert.rejects(download('http://127.0.0.1:1/', { integrity: undefined, cache: false, signal: new AbortController().signal, onProgress: () => undefined }), { code: 'network' });
  const controller = new AbortController();
  await assert.rejects(get('/hang', { signal: controller.signal, onProgress: () => controller.abort() }), { code: 'aborted' });
});

test('of several digests the strongest counts, and one of its kind has to fit', async () => {
  const wrong = `sha512-${Buffer.alloc(64).toString('base64')}`;
  await verifyIntegrity(weights, `${digest('sha256')} ${digest('sha384')}`, 'it');
  await verifyIntegrity(weights, `${wrong} ${digest('sha512')}`, 'it');
  await assert.rejects(verifyIntegrity(weights, `${digest('sha256')} ${wrong}`, 'it'), { code: 'integrity' });
  for (const nonsense of ['', 'md5-abc', 'sha256', 'sha256-?']) {
    await assert.rejects(verifyIntegrity(weights, nonsense, 'it'), { code: 'bad-option' });
  }
});

test('a digest is that of the standard, and left to others where the platform makes none', async () => {
  // FIPS 180-2, appendix B.
  assert.equal(await sha256(new TextEncoder().encode('abc')), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  assert.equal(await sha256(new Uint8Array(new SharedArrayBuffer(3))), undefined);
});
