import { RegraftError } from '../errors.js';
import { instantiate } from '../loader.js';
import type { Boot } from '../protocol.js';
import type { Decode } from './decode.js';
import { serveEngine } from './engine.js';
import { serveTrunk } from './trunk.js';

/** What a worker does with its first message. Calls that arrive on the port meanwhile wait there. */
export async function serve({ role, module, build, memory }: Boot, decode: Decode): Promise<void> {
  const instance = await instantiate(module, build, memory);
  switch (role.kind) {
    case 'engine': return serveEngine(role.port, instance, build, role, decode);
    case 'trunk': return serveTrunk(role.port, instance, decode, role.pixelCap);
    case 'thread': return instance.shared?.wasm.joinThreads();
    default: throw new RegraftError('internal', `no such worker: ${JSON.stringify(role satisfies never)}`);
  }
}
