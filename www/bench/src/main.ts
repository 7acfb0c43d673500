// One row of the bench, as the address says; the result goes back to the server.
import { forwardRow } from './forward.js';
import { gpuForwardRow } from './gpu.js';
import { photosRow } from './photos.js';
import { fail, send } from './report.js';
import { scaleRow } from './scale.js';
import { trainingRow, type Opponent } from './train.js';

const query = new URLSearchParams(location.search);
const number = (name: string, fallback: number): number => Number(query.get(name) ?? fallback);
const budget = { rounds: number('rounds', 60), seconds: number('seconds', 20), warmUp: number('warmUp', 15) };
/** Opponents, where not all of them are wanted. */
const only = query.get('only')?.split(',') as readonly Opponent[] | undefined;
const cores = navigator.hardwareConcurrency;

async function run(): Promise<unknown> {
  if (!crossOriginIsolated) throw new Error('the page is not cross-origin isolated: no opponent has threads');
  const row = query.get('row');
  switch (row) {
    case 'forward': return forwardRow(query.get('net') ?? '', budget);
    case 'photos': return photosRow(number('count', 256), cores, budget);
    case 'head': return trainingRow({ net: 'head', batch: 32, threads: number('threads', 1), opponents: only ?? ['wasm', 'jax'], ours: 'cpu' }, budget);
    case 'blocks': return trainingRow({ net: 'blocks', batch: 16, threads: cores, opponents: only ?? ['wasm', 'jax', 'webgl', 'cpu'], ours: 'cpu' }, budget);
    case 'webgpu-forward': return gpuForwardRow(only ?? ['webgpu', 'jax-webgpu', 'ort'], budget);
    case 'webgpu-head': return trainingRow({ net: 'head', batch: 32, threads: 1, opponents: only ?? ['webgpu', 'jax-webgpu'], ours: 'webgpu' }, budget);
    case 'webgpu-blocks': return trainingRow({ net: 'blocks', batch: 16, threads: 1, opponents: only ?? ['webgpu', 'jax-webgpu'], ours: 'webgpu' }, budget);
    case 'scale': return scaleRow(number('count', 10));
    default: throw new Error(`no row ${String(row)}`);
  }
}

run().then(send, fail).catch((error: unknown) => console.error(error));
