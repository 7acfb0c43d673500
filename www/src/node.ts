// Entry for Node >= 20: the same API over worker_threads.
import type { Engine, EngineOptions } from './api.js';
import { startEngine } from './client/engine.js';
import { nodeHost } from './host-node.js';

export type * from './api.js';
export { RegraftError, type ErrorCode } from './errors.js';
export { version } from './version.js';

/** Starts an engine. Encoded images need the optional package `sharp`; pixels need nothing. The process ends after dispose(). */
export function createEngine(options: EngineOptions = {}): Promise<Engine> {
  return startEngine(nodeHost(), options);
}
