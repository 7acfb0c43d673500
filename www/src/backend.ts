import type { BackendName, EngineOptions } from './api.js';
import { RegraftError } from './errors.js';

/** Decides where the arithmetic runs, and says why. This is where backends are timed once there are two. */
export function chooseBackend(requested: EngineOptions['backend'] = 'auto'): { backend: BackendName; reason: string } {
  switch (requested) {
    case 'auto': return { backend: 'cpu', reason: NO_GPU };
    case 'cpu': return { backend: 'cpu', reason: 'asked for' };
    case 'webgpu': throw new RegraftError('no-gpu', NO_GPU);
    default: requested satisfies never;
  }
  throw new RegraftError('bad-option', `option 'backend': 'auto', 'cpu' or 'webgpu', not ${JSON.stringify(requested)}`);
}

const NO_GPU = 'the WebGPU backend is not part of this build';
