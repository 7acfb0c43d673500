// wasm-bindgen's glue is made by the build, and its own types are an internal detail: see wasm-module.ts.
declare module '*/regraft.js';
