// A module is validated whole: one opcode of a newer instruction set, and a build does not load where it is needed. The judge is Binaryen.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import binaryen from 'binaryen';
import type { WasmBuild } from '../../src/loader.js';

const { Features } = binaryen;
/** What every browser has that has SIMD. */
const SIMD128 = Features.SIMD128 | Features.BulkMemory | Features.BulkMemoryOpt | Features.CallIndirectOverlong | Features.Multivalue
  | Features.MutableGlobals | Features.NontrappingFPToInt | Features.ReferenceTypes | Features.SignExt;
const ALLOWED = {
  'simd128': SIMD128,
  'relaxed-simd': SIMD128 | Features.RelaxedSIMD,
  'relaxed-simd-threads': SIMD128 | Features.RelaxedSIMD | Features.Atomics,
} satisfies Record<WasmBuild, number>;

/** Whether a module needs no more than some features; Binaryen prints the instructions that do. */
function fits(module: binaryen.Module, features: number): boolean {
  try {
    module.setFeatures(features);
    return module.validate() === 1;
  } finally {
    module.dispose();
  }
}

for (const [build, allowed] of Object.entries(ALLOWED)) {
  test(`the ${build} build has no newer opcode`, () => {
    const bytes = readFileSync(new URL(`../../../dist/wasm/${build}/regraft_bg.wasm`, import.meta.url));
    assert.ok(fits(binaryen.readBinary(bytes), allowed));
  });
}

test('the judge knows a newer opcode', () => {
  const madd = '(module (func (param v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 0) (local.get 0))))';
  const shared = '(module (memory 1 1 shared))';
  const load = '(module (memory 1 1) (func (result i32) (i32.atomic.load (i32.const 0))))';
  for (const [text, needed] of [[madd, Features.RelaxedSIMD], [shared, Features.Atomics], [load, Features.Atomics]] as const) {
    assert.ok(fits(binaryen.parseText(text), SIMD128 | needed));
    assert.ok(!fits(binaryen.parseText(text), SIMD128));
  }
});
