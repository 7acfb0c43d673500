import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const version = (path) => JSON.parse(readFileSync(here(path), 'utf8')).version;

/** The bench's pages. ONNX Runtime and the wasm files of all are served as their packages have them. */
export default {
  root: here('pages'),
  base: './',
  resolve: { alias: { regraft: here('../dist/index.js') } },
  define: {
    VERSIONS: JSON.stringify({
      regraft: version('../package.json'), tfjs: version('node_modules/@tensorflow/tfjs-core/package.json'),
      ort: version('node_modules/onnxruntime-web/package.json'), jax: version('node_modules/@jax-js/jax/package.json'),
    }),
  },
  worker: { format: 'es' },
  build: {
    outDir: here('../../target/bench/site'), emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 4000,
    rollupOptions: { input: { index: here('pages/index.html'), cold: here('pages/cold.html') } },
  },
};
