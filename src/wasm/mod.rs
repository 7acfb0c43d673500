//! What JavaScript sees: conversion and nothing else. Long work comes in slices.
//!
//! With the feature `threads` the module has an instance in each of several workers, on one memory; a handle belongs to the instance
//! that made it.
//!
//! No method keeps a borrow across calls. What may wait for a GPU gives a promise and takes what it works on with it: calls
//! meanwhile are `busy`.

mod convert;
mod device;
mod features;
mod lent;
mod model;
mod split;
#[cfg(feature = "threads")]
mod threads;
mod trainer;
mod trunk;

pub use device::WasmDevice;
pub use features::WasmFeatures;
pub use model::WasmModel;
pub use split::{balanced_indices, fold_indices, split_indices};
#[cfg(feature = "threads")]
pub use threads::{join_threads, start_threads};
pub use trainer::WasmTrainer;
pub use trunk::{WasmBatchTrunk, WasmPreprocessing, WasmTrunk, WasmViews};

use js_sys::{Object, WebAssembly};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

/// Panics are defects; the console should at least name the place.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// Version of the engine.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Has tiles of dense products and convolutions have at most so many rows.
#[wasm_bindgen(js_name = limitTileRows)]
pub fn limit_tile_rows(rows: usize) {
    regraft_kernels::limit_tile_rows(rows);
}

/// `{ wasmBytes, liveTensors }`: size of the wasm memory, and tensors that handles keep alive.
///
/// Not called `memory`: the module exports its memory under that name.
#[wasm_bindgen(js_name = memoryUse)]
pub fn memory_use() -> JsValue {
    let memory = wasm_bindgen::memory().unchecked_into::<WebAssembly::Memory>();
    let bytes = memory.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length();
    let object = Object::new();
    convert::set(&object, "wasmBytes", &f64::from(bytes).into());
    convert::set(&object, "liveTensors", &(model::live_tensors() as f64).into());
    object.into()
}

/// The printed table of `VertexSummary[]`.
#[wasm_bindgen(js_name = printSummary)]
pub fn print_summary(vertices: JsValue, total: usize, trainable: usize) -> convert::JsResult<String> {
    let vertices: Vec<crate::graph::VertexSummary> = convert::from_js(vertices, "vertices")?;
    Ok(crate::graph::print_summary(&vertices, total, trainable))
}
