import { defineConfig, type Plugin } from 'vite';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { sampleFile } from './e2e/server.mjs';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/**
 * What the built page may do, so that a host without headers is as strict as one with them. The engine needs
 * 'wasm-unsafe-eval' and nothing else; photos and previews are blobs. Left out of the dev server, which injects inline styles.
 */
const POLICY = [
  "default-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", "style-src 'self'", "img-src 'self' blob: data:", "connect-src 'self' blob:",
  "object-src 'none'", "base-uri 'none'", "form-action 'none'",
].join('; ');

const contentSecurityPolicy: Plugin = {
  name: 'content-security-policy',
  apply: 'build',
  transformIndexHtml: () => [{ tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: POLICY }, injectTo: 'head-prepend' }],
};

/** The dev server offers the photos of assets/ as samples; a built site has none of its own. */
const samplePhotos: Plugin = {
  name: 'sample-photos',
  configureServer: ({ middlewares }) => {
    middlewares.use('/samples', (request, response) => {
      const path = decodeURIComponent((request.url ?? '').slice(1));
      sampleFile(here('../assets/photos'), path)
        .then(({ type, body }) => response.writeHead(200, { 'content-type': type }).end(body))
        .catch(() => response.writeHead(404).end());
    });
  },
};

/** The service worker of demo/isolation.ts, beside the page and as it is. */
const isolationWorker: Plugin = {
  name: 'isolation-worker',
  async generateBundle() {
    const fileName = 'coi-serviceworker.min.js';
    this.emitFile({ type: 'asset', fileName, source: await readFile(here(`node_modules/coi-serviceworker/${fileName}`)) });
  },
};

/** The demo page, built to a folder that works from any static host and any sub-path. `--mode fake` puts a pretence engine under it, for work on the page alone. */
export default defineConfig(({ mode }) => ({
  root: here('demo'),
  base: './',
  resolve: { alias: { regraft: here(mode === 'fake' ? 'e2e/fake-engine.ts' : 'dist/index.js') } },
  plugins: [contentSecurityPolicy, samplePhotos, isolationWorker],
  worker: { format: 'es' },
  build: { outDir: here(mode === 'fake' ? '../target/site-fake' : '../target/site'), emptyOutDir: true, target: 'es2022' },
}));
