import type { BackendName, EngineOptions } from './api.js';
import { RegraftError } from './errors.js';

/** Refuses what is no backend. */
export function checkBackend(requested: EngineOptions['backend'] = 'auto'): NonNullable<EngineOptions['backend']> {
  const known: Record<BackendName | 'auto', true> = { auto: true, webgpu: true, cpu: true };
  if (Object.hasOwn(known, requested)) return requested;
  throw new RegraftError('bad-option', `option 'backend': 'auto', 'cpu' or 'webgpu', not ${JSON.stringify(requested)}`);
}
