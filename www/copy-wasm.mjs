// Copies the wasm builds that scripts/build leaves in src/wasm beside the compiled package.
import { cpSync, existsSync } from 'node:fs';

const target = process.argv[2];
for (const build of ['simd128', 'relaxed-simd', 'relaxed-simd-threads']) {
  for (const file of ['regraft.js', 'regraft_bg.wasm']) {
    const path = `wasm/${build}/${file}`;
    if (!existsSync(`src/${path}`)) {
      console.error(`www/src/${path} is missing: run scripts/build`);
      process.exit(1);
    }
    cpSync(`src/${path}`, `${target}/${path}`);
  }
}
