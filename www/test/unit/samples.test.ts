import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SampleStores } from '../../src/worker/samples.js';

const KEY = 'trunk';

test('an image that one store has twice shares what trunks made of it', () => {
  const stores = new SampleStores();
  for (const [store, index] of [[1, 0], [2, 0], [2, 1]] as const) stores.add(store, index, `${store}/${index}`, new Blob());
  const row = Float32Array.of(1, 2);
  for (const key of [KEY, 'other']) stores.rows({ store: 1 }, key).byImage.set(0, row);
  assert.equal(stores.share({ store: 1, index: 0 }, { store: 2, index: 0 }), true);
  assert.equal(stores.share({ store: 2, index: 0 }, { store: 2, index: 1 }), true);
  for (const key of [KEY, 'other']) assert.deepEqual([...stores.rows({ store: 2 }, key).byImage], [[0, row], [1, row]]);
  assert.equal(stores.bytes(), row.byteLength);
  assert.equal(stores.share({ store: 3, index: 0 }, { store: 2, index: 1 }), false, 'the store is gone');
});
