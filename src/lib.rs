//! regraft: fine-tune pretrained vision models in the browser.

pub mod backend;
pub mod data;
pub mod error;
pub mod eval;
pub mod formats;
pub mod graph;
pub(crate) mod kernels;
pub mod ops;
pub mod plan;
pub mod tensor;
pub mod train;
pub mod transfer;
#[cfg(target_arch = "wasm32")]
pub mod wasm;
pub mod zoo;

pub use error::{Error, Result};
pub use tensor::Tensor;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
