/** Tiles of six rows and eight columns need all registers that V8 hands out. */
const ROWS = 6;
/** With six, SpiderMonkey's allocator keeps sums in memory: convolutions take 1.5 times as long as with five, where V8's take 0.95. */
const ROWS_SPIDERMONKEY = 5;

/**
 * Rows of the tiles that products and convolutions are cut into, for the engine that compiles them here. No web feature tells how an
 * engine hands out registers, and what is timed right after the start is code that was compiled in haste; but `InternalError` is a class
 * of SpiderMonkey's alone, in pages and workers. A wrong guess costs time and changes no bit of any result.
 */
export function tileRows(scope: object = globalThis): number {
  return 'InternalError' in scope ? ROWS_SPIDERMONKEY : ROWS;
}
