import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkBackend } from '../../src/backend.js';
import { chooseBuild, wasmUrl } from '../../src/loader.js';
import { tileRows } from '../../src/tiles.js';

test('the probes are modules, and this machine has SIMD', () => {
  const probes: Uint8Array<ArrayBuffer>[] = [];
  chooseBuild(false, (bytes) => { probes.push(bytes); return probes.length === 2; });
  assert.equal(probes.length, 2);
  // Node 20 has plain SIMD; whether it knows relaxed SIMD depends on its version.
  assert.equal(WebAssembly.validate(probes[1]!), true);
  const spoiled = Uint8Array.from(probes[1]!);
  spoiled[spoiled.length - 2] = 255;
  assert.equal(WebAssembly.validate(spoiled), false);
});

test('the newest build that validates is taken', () => {
  assert.equal(chooseBuild(false, () => true), 'relaxed-simd');
  assert.equal(chooseBuild(true, () => true), 'relaxed-simd-threads');
  for (const shares of [false, true]) {
    let calls = 0;
    assert.equal(chooseBuild(shares, () => ++calls === 2), 'simd128');
    assert.throws(() => chooseBuild(shares, () => false), { name: 'RegraftError' });
  }
});

test('tiles are as high as the engine has registers for', () => {
  assert.equal(tileRows(), 6); // Node is V8
  assert.equal(tileRows({ Error, RangeError }), 6);
  assert.equal(tileRows({ Error, InternalError: class extends Error {} }), 5);
});

test('wasm lies beside the module, or in the folder asked for', () => {
  assert.match(wasmUrl('simd128').href, /\/wasm\/simd128\/regraft_bg\.wasm$/);
  assert.match(wasmUrl('relaxed-simd-threads').href, /\/wasm\/relaxed-simd-threads\/regraft_bg\.wasm$/);
  assert.match(wasmUrl('relaxed-simd').href, /\/wasm\/relaxed-simd\/regraft_bg\.wasm$/);
  for (const folder of ['https://host/a/wasm', 'https://host/a/wasm/', 'https://host/a/wasm?v=1']) {
    assert.equal(wasmUrl('simd128', new URL(folder)).href, 'https://host/a/wasm/simd128/regraft_bg.wasm');
  }
});

test('backends are known by name', () => {
  assert.equal(checkBackend(), 'auto');
  assert.equal(checkBackend('webgpu'), 'webgpu');
  assert.throws(() => checkBackend('cuda' as 'cpu'), { code: 'bad-option' });
});
