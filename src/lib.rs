//! regraft: fine-tune pretrained vision models in the browser.

pub mod data;
pub mod error;
pub mod eval;
pub mod formats;
pub(crate) mod kernels;
pub mod tensor;

pub use error::{Error, Result};
pub use tensor::Tensor;
