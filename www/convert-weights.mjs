// Writes a model file of any readable format as a regraft file with f16 tensors, by the built package.
//
//   node convert-weights.mjs IN OUT
import { readFile, writeFile } from 'node:fs/promises';
import { createEngine } from './dist/node.js';

const [from, to] = process.argv.slice(2);
if (from === undefined || to === undefined) throw new Error('usage: node convert-weights.mjs IN OUT');

const engine = await createEngine({ threads: 1 });
try {
  const model = await engine.load(new Uint8Array(await readFile(from)));
  const { files, verified } = await model.export('regraft', { dtype: 'f16' });
  for (const bytes of Object.values(files)) await writeFile(to, bytes);
  console.error(`${to}: outputs differ by at most ${verified.maxAbsDiff}`);
} finally {
  await engine.dispose();
}
