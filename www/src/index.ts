// Entry for browsers. Importing touches no global; everything starts in createEngine().
import type { Engine, EngineOptions } from './api.js';
import { startEngine } from './client/engine.js';
import { browserHost } from './host-browser.js';

export type * from './api.js';
export { RegraftError, type ErrorCode } from './errors.js';
export { version } from './version.js';

/** Starts an engine: fetches the wasm build that fits this browser and starts the engine worker. */
export function createEngine(options: EngineOptions = {}): Promise<Engine> {
  return startEngine(browserHost(), options);
}
