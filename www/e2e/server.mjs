// Serves the built page as any static host would: no special headers, under a sub-path.
import { createServer } from 'node:http';
import { readFile, readdir } from 'node:fs/promises';
import { extname, join, normalize, sep } from 'node:path';

const PREFIX = '/photos/regraft/';

const TYPES = new Map(Object.entries({
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm', '.json': 'application/json',
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

/**
 * Serves the folder `site`, and `photos` as `samples/` beside the page where given, to this machine only.
 * `port` 0 takes any free one.
 * @param {{ site: string, photos?: string, port?: number }} options
 */
export async function serve({ site, photos, port = 0 }) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    try {
      if (!path.startsWith(PREFIX)) throw new Error(`${path} is outside`);
      const rest = path.slice(PREFIX.length) || 'index.html';
      const { type, body } = await (photos && rest.startsWith('samples/') ? sampleFile(photos, rest.slice('samples/'.length)) : fileIn(site, rest));
      response.writeHead(200, { 'content-type': type }).end(body);
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
