//! ONNX models (operator and IR specification: ONNX repository, `docs/Operators.md` and `docs/IR.md`).
//!
//! A node becomes a vertex under the node's own name, in the file's NCHW layout. Weights become parameters in canonical layout
//! under their initializers' names. Nodes that compute shapes, and nodes that read only stored values, are evaluated while
//! reading and leave no vertex.

mod limits;
mod names;
mod proto;
mod reader;
mod tensor;
mod writer;

#[cfg(test)]
mod hostile_tests;

use std::collections::BTreeMap;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::error::Error;
pub use reader::read;
pub use writer::{Normalization, write};

const FORMAT: &str = "onnx";

/// Operator sets that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=22;

/// Text a file carries beside its graph.
pub type Metadata = BTreeMap<String, String>;

/// Whether the content looks like an ONNX model. The format has no magic number: it is taken for one when the fields before
/// the graph are those of a `ModelProto`, the IR version among them. A file that breaks off within the graph still is one.
pub fn is_onnx(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut versioned = false;
    while let Ok((tag, wire_type)) = decode_key(&mut rest) {
        match (tag, wire_type) {
            (1, WireType::Varint) => match decode_varint(&mut rest) {
                Ok(1..=0xffff) => versioned = true,
                _ => return false,
            },
            (7, WireType::LengthDelimited) if versioned => return true,
            (5, WireType::Varint) | (2..=4 | 6..=8 | 14 | 20 | 25 | 26, WireType::LengthDelimited) => {
                if skip_field(wire_type, tag, &mut rest, DecodeContext::default()).is_err() {
                    return false;
                }
            }
            _ => return false,
        }
    }
    false
}

fn bad(reason: impl Into<String>) -> Error {
    Error::format(FORMAT, reason)
}
