import { defineConfig } from 'vite';
import { fileURLToPath } from 'node:url';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The demo page, built to a folder that works from any static host and any sub-path. */
export default defineConfig({
  root: here('demo'),
  base: './',
  resolve: { alias: { regraft: here('dist/index.js') } },
  worker: { format: 'es' },
  build: { outDir: here('../target/site'), emptyOutDir: true, target: 'es2022' },
});
