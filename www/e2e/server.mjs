// Serves the built page as any static host would: no special headers, under a sub-path.
import { createServer } from 'node:http';
import { readFile, readdir } from 'node:fs/promises';
import { extname, join, normalize, sep } from 'node:path';

const PREFIX = '/photos/regraft/';

const TYPES = new Map(Object.entries({
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm', '.json': 'application/json',
  '.png': 'image/png', '.jpg': 'image/jpeg', '.svg': 'image/svg+xml',
}));

/**
 * What the page's «Load sample photos» reads: paths by class.
 * @param {string} photos
 */
export async function sampleIndex(photos) {
  const folders = (await readdir(photos, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name).sort();
  const lists = await Promise.all(folders.map(async (name) => (await readdir(join(photos, name))).sort().map((file) => `${name}/${file}`)));
  return { classes: Object.fromEntries(folders.map((name, i) => [name, lists[i] ?? []])) };
}

/**
 * The file under `folder` that `path` names; rejects where there is none, or it lies outside.
 * @param {string} folder
 * @param {string} path
 */
async function fileIn(folder, path) {
  const file = normalize(join(folder, path));
  if (!file.startsWith(normalize(folder + sep))) throw new Error(`${path} is outside`);
  return { type: TYPES.get(extname(file)) ?? 'application/octet-stream', body: await readFile(file) };
}

/**
 * A file of `samples/` beside the page.
 * @param {string} photos
 * @param {string} path
 */
export async function sampleFile(photos, path) {
  if (path === 'samples.json') return { type: 'application/json', body: JSON.stringify(await sampleIndex(photos)) };
  return fileIn(photos, path);
}

/** What makes a page cross-origin isolated, so that it has shared memory and fine clocks. */
export const ISOLATING = {
  'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp', 'cross-origin-resource-policy': 'same-origin',
};

/** @param {import('node:http').IncomingMessage} request */
async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

/**
 * Serves the folder `site`, `photos` as `samples/` beside the page where given, and other folders under the names they are given, to
 * this machine only. `port` 0 takes any free one; `onPost` gets the path and the body of what a page posts.
 * @param {{
 *   site: string, photos?: string, port?: number, folders?: Record<string, string>, headers?: Record<string, string>,
 *   onPost?(path: string, body: string): void,
 * }} options
 */
export async function serve({ site, photos, port = 0, folders = {}, headers = {}, onPost }) {
  /** @param {string} path */
  const find = (path) => {
    const [first, rest] = [path.split('/', 1)[0] ?? '', path.slice(path.indexOf('/') + 1)];
    if (photos && first === 'samples') return sampleFile(photos, rest);
    const folder = folders[first];
    return folder === undefined ? fileIn(site, path) : fileIn(folder, rest);
  };
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    try {
      if (!path.startsWith(PREFIX)) throw new Error(`${path} is outside`);
      const rest = path.slice(PREFIX.length) || 'index.html';
      if (request.method === 'POST' && onPost) {
        onPost(rest, await bodyOf(request));
        response.writeHead(204).end();
        return;
      }
      const { type, body } = await find(rest);
      response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(body), ...headers }).end(body);
    } catch {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('not found');
    }
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  if (!address || typeof address === 'string') throw new Error('the server has no port');
  return {
    url: `http://127.0.0.1:${address.port}${PREFIX}`,
    close: () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  };
}
