// Every worker in Node: the engine's and the trunk pool's.
import { parentPort } from 'node:worker_threads';
import type { Boot } from './protocol.js';
import { decodeInNode } from './worker/decode-node.js';
import { serve } from './worker/serve.js';

parentPort?.once('message', (boot: Boot) => void serve(boot, decodeInNode));
