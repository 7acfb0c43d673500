//! What needs files, threads or Python: tests of the native build. One binary, since linking each of many took longer than running them.
#![cfg(not(target_arch = "wasm32"))]

#[path = "../common/mod.rs"]
mod common;

mod evaluation;
mod examples;
mod finetune;
mod hostile;
mod layers;
mod learning;
mod onnx;
mod onnx_ops;
mod photos;
mod pictures;
mod properties;
#[cfg(feature = "threads")]
mod threads;
mod training;
mod zoo;
