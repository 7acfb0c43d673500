//! Reads PyTorch checkpoints (`torch.save`, zip and legacy layout) and pickled numpy arrays into named tensors.
//!
//! A pickle is a program. This reader runs it on a machine that has no names but those in `global.rs`, so nothing
//! in the file can call anything else. Layouts: `torch/serialization.py` (`_save`, `_legacy_save`) of PyTorch 2.x.

mod container;
mod cursor;
mod flatten;
mod global;
#[cfg(test)]
mod hostile_tests;
mod numpy;
mod pickle;
mod tensor;
#[cfg(test)]
pub(crate) mod tests;

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Named tensors in the order of the file.
pub type StateDict = Vec<(String, Tensor)>;

/// Reads every tensor of a checkpoint.
///
/// A state dict wrapped in a training checkpoint (under `state_dict`, `model_state_dict`, `model`, `net` or
/// `module`) is found. Other nested dicts and lists are flattened, names joined by `.`, list items by position. A
/// `module.` prefix that all names share, as `DataParallel` writes it, is removed. `f16`, `bf16`, `f32` and `f64` become
/// `f32`; `i32`, `i64`, `u8` and `bool` stay; strided tensors become row-major. Pickle protocols 2 to 5 are read.
///
/// # Errors
/// [`Error::Format`] for anything malformed, for any global outside the list this reader builds (it is named), and
/// for files whose tensors would take more than 8 times the file's size.
pub fn read(bytes: &[u8]) -> Result<StateDict> {
    let checkpoint = container::open(bytes)?;
    flatten::state_dict(&checkpoint, bytes.len())
}

/// Whether the content is one that [`read`] is for: a zip archive with a `data.pkl`, the legacy magic number, or a
/// bare pickle of a container.
pub fn is_pytorch(bytes: &[u8]) -> bool {
    container::detect(bytes).is_some()
}

/// Characters of a reason: names in a hostile file may be as long as the file.
const MAX_REASON: usize = 300;

fn bad(reason: impl Into<String>) -> Error {
    let mut reason = reason.into();
    if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
        reason.truncate(end);
    }
    Error::format("pytorch", reason)
}
