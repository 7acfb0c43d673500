//! Readers and writers of model files. Bytes are hostile: nothing in here trusts a length, an offset or a count.

pub mod onnx;
pub mod pytorch;
pub mod regraft;
pub mod safetensors;

use std::fmt;

use serde::{Deserialize, Serialize};

/// File formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An ONNX model.
    Onnx,
    /// A PyTorch checkpoint: weights alone.
    Pytorch,
    /// Plain safetensors: weights alone.
    Safetensors,
    /// This project's own: safetensors with the graph in its metadata.
    Regraft,
}

impl Format {
    /// The format of the bytes, by their content alone.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        if safetensors::is_safetensors(bytes) {
            return Some(if regraft::is_regraft(bytes) { Self::Regraft } else { Self::Safetensors });
        }
        if pytorch::is_pytorch(bytes) {
            return Some(Self::Pytorch);
        }
        // Last, as ONNX has no magic number.
        onnx::is_onnx(bytes).then_some(Self::Onnx)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "onnx",
            Self::Pytorch => "pytorch",
            Self::Safetensors => "safetensors",
            Self::Regraft => "regraft",
        })
    }
}
