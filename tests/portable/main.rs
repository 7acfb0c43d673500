//! Tests that run natively and in browsers.

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

#[path = "../common/mod.rs"]
mod common;

mod augmentation;
mod bands;
mod conformance;
mod cut_points;
mod grad_cam;
mod gradients;
mod preprocessing;
mod rng;
mod views;
