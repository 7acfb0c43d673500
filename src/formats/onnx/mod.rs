//! ONNX.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::graph::Graph;

/// Scaling and normalisation put in front of the image input: `x = (pixel·scale − mean) / std` per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Factor of the pixel values.
    pub scale: f32,
    /// Subtracted per channel.
    pub mean: [f32; 3],
    /// Divided by per channel.
    pub std: [f32; 3],
}

/// Reads a model and its metadata.
pub fn read(_bytes: &[u8], _files: &BTreeMap<String, &[u8]>) -> Result<(Graph, BTreeMap<String, String>)> {
    Err(Error::format("onnx", "stub"))
}

/// Writes a model.
pub fn write(_: &Graph, _: &BTreeMap<String, String>, _: Option<&Normalization>) -> Result<Vec<u8>> {
    Err(Error::format("onnx", "stub"))
}
