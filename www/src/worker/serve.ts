import { RegraftError } from '../errors.js';
import { instantiate } from '../loader.js';
import type { Boot } from '../protocol.js';
import { serveEngine } from './engine.js';
import { serveTrunk, type Decode } from './trunk.js';

/** What a worker does with its first message. Calls that arrive on the port meanwhile wait there. */
export async function serve({ role, port, module, build }: Boot, decode: Decode): Promise<void> {
  const wasm = await instantiate(module, build);
  switch (role.kind) {
    case 'engine': return serveEngine(port, wasm, role);
    case 'trunk': return serveTrunk(port, wasm, decode, role.pixelCap);
    default: throw new RegraftError('internal', `no such worker: ${JSON.stringify(role satisfies never)}`);
  }
}
