// Serves the built page as any static host would: no special headers, under a sub-path.
import { createServer } from 'node:http';
import { readFile, readdir } from 'node:fs/promises';
import { extname, join, normalize, sep } from 'node:path';

const PREFIX = '/photos/regraft/';

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm', '.json': 'application/json',
  '.png': 'image/png', '.jpg': 'image/jpeg', '.svg': 'image/svg+xml',
};

/** What the page's «Load sample photos» reads: paths by class. */
export async function sampleIndex(photos) {
  const folders = (await readdir(photos, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name).sort();
  const classes = {};
  for (const name of folders) classes[name] = (await readdir(join(photos, name))).sort().map((file) => `${name}/${file}`);
  return { classes };
}

/** The file under `folder` that `path` names, or undefined where it leads out of it. */
function inside(folder, path) {
  const file = normalize(join(folder, path));
  return file.startsWith(normalize(folder + sep)) ? file : undefined;
}

/**
 * Serves the folder `site`, and `photos` as `samples/` beside the page where given.
 * `port` 0 takes any free one; only this machine can connect.
 */
export async function serve({ site, photos, port = 0 }) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    try {
      if (!path.startsWith(PREFIX)) throw new Error('outside');
      const rest = path.slice(PREFIX.length) || 'index.html';
      if (photos && rest === 'samples/samples.json') return send(response, '.json', JSON.stringify(await sampleIndex(photos)));
      const file = photos && rest.startsWith('samples/') ? inside(photos, rest.slice('samples/'.length)) : inside(site, rest);
      if (!file) throw new Error('outside');
      send(response, extname(file), await readFile(file));
    } catch {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('not found');
    }
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}${PREFIX}`,
    close: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
  };
}

function send(response, extension, body) {
  response.writeHead(200, { 'content-type': TYPES[extension] ?? 'application/octet-stream' }).end(body);
}
