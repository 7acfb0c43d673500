import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Channel, type Call } from '../../src/channel.js';
import { RegraftError } from '../../src/errors.js';

interface Arithmetic {
  double: Call<number, number>;
  count: Call<number, string, number>;
  fail: Call<'coded' | 'plain', never>;
  wait: Call<undefined, string>;
  bytes: Call<Uint8Array, Uint8Array>;
}
type Nothing = Record<never, never>;

const open: Channel<Arithmetic | Nothing, Arithmetic | Nothing>[] = [];
afterEach(() => open.splice(0).forEach((it) => it.close(new RegraftError('disposed', 'the test is over'))));

/** A caller, and the reasons with which calls on the other end were aborted. */
function connect(): { caller: Channel<Arithmetic, Nothing>; reasons: unknown[] } {
  const { port1, port2 } = new MessageChannel();
  const reasons: unknown[] = [];
  const callee = new Channel<Nothing, Arithmetic>(port2, {
    double: (x) => 2 * x,
    count: (to, { progress }) => {
      for (let at = 1; at <= to; at++) progress(at);
      return 'counted';
    },
    fail: (how) => {
      throw how === 'plain' ? new TypeError('a defect') : Object.assign(new Error('not this'), { code: 'unknown-vertex', vertex: 'conv1' });
    },
    wait: (_, { signal }) => new Promise((resolve) => {
      signal.addEventListener('abort', () => { reasons.push(signal.reason); resolve('what there is'); });
    }),
    bytes: (bytes, { transfer }) => { transfer(bytes.buffer); return bytes; },
  });
  const caller = new Channel<Arithmetic, Nothing>(port1, {});
  open.push(caller as never, callee as never);
  return { caller, reasons };
}

test('calls are answered, each by its own result', async () => {
  const { caller } = connect();
  assert.deepEqual(await Promise.all([1, 2, 3].map((x) => caller.call('double', x))), [2, 4, 6]);
});

test('progress arrives in order and before the result', async () => {
  const { caller } = connect();
  const seen: number[] = [];
  assert.equal(await caller.call('count', 3, { onProgress: (at) => seen.push(at) }), 'counted');
  assert.deepEqual(seen, [1, 2, 3]);
});

test('errors keep code and vertex; those without a code are internal', async () => {
  const { caller } = connect();
  await assert.rejects(caller.call('fail', 'coded'), { name: 'RegraftError', code: 'unknown-vertex', vertex: 'conv1', message: 'not this' });
  await assert.rejects(caller.call('fail', 'plain'), { name: 'RegraftError', code: 'internal', message: 'a defect' });
});

test('an abort rejects at once and reaches the other end', async () => {
  const { caller, reasons } = connect();
  const controller = new AbortController();
  const call = caller.call('wait', undefined, { signal: controller.signal });
  controller.abort();
  await assert.rejects(call, { code: 'aborted' });
  await caller.call('double', 1);
  assert.equal((reasons[0] as RegraftError).code, 'aborted');
});

test('a call that answers aborts is waited for', async () => {
  const { caller } = connect();
  const controller = new AbortController();
  const call = caller.call('wait', undefined, { signal: controller.signal, resolvesOnAbort: true });
  controller.abort();
  assert.equal(await call, 'what there is');
  const late = caller.call('wait', undefined, { signal: AbortSignal.abort(), resolvesOnAbort: true });
  assert.equal(await late, 'what there is');
});

test('a signal that has fired starts nothing', async () => {
  const { caller } = connect();
  await assert.rejects(caller.call('double', 1, { signal: AbortSignal.abort() }), { code: 'aborted' });
});

test('closing rejects calls under way and to come', async () => {
  const { caller } = connect();
  const call = caller.call('wait', undefined);
  caller.close(new RegraftError('disposed', 'closed'));
  await assert.rejects(call, { code: 'disposed' });
  await assert.rejects(caller.call('double', 1), { code: 'disposed' });
});

test('buffers can be moved both ways', async () => {
  const { caller } = connect();
  const bytes = Uint8Array.of(1, 2, 3);
  const back = await caller.call('bytes', bytes, { transfer: [bytes.buffer] });
  assert.equal(bytes.byteLength, 0);
  assert.deepEqual([...back], [1, 2, 3]);
});

test('arguments that cannot be cloned are named a bad option', async () => {
  const { caller } = connect();
  await assert.rejects(caller.call('double', (() => 1) as unknown as number), { code: 'bad-option' });
});
