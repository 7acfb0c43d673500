//! A bound on what a file decodes to: an empty message takes two bytes in the file and hundreds in memory.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::bad;
use crate::error::Result;

/// Strings and messages in a file; a network with ten thousand nodes has a tenth of it.
const MAX_FIELDS: usize = 1 << 20;

/// Messages that contain others (`onnx.proto`).
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    /// One of strings and numbers alone.
    Flat,
}

impl Message {
    /// The message in field `tag`; `None` for strings, bytes, and fields that are not decoded.
    fn field(self, tag: u32) -> Option<Self> {
        match (self, tag) {
            (Self::Model, 7) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5) => Some(Self::Tensor),
            (Self::Graph, 11 | 12) => Some(Self::ValueInfo),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::ValueInfo, 2) => Some(Self::Type),
            (Self::Type, 1) => Some(Self::TensorType),
            (Self::TensorType, 2) => Some(Self::Shape),
            (Self::Model, 8 | 14) | (Self::Tensor, 13) | (Self::Shape, 1) => Some(Self::Flat),
            _ => None,
        }
    }
}

/// Fails for a file with more fields than any network has. What is malformed, decoding tells better.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let mut left = MAX_FIELDS;
    match count(bytes, Message::Model, &mut left) {
        Some(()) => Ok(()),
        None => Err(bad(format!("it has more than {MAX_FIELDS} fields"))),
    }
}

fn count(mut rest: &[u8], message: Message, left: &mut usize) -> Option<()> {
    while let Ok((tag, wire_type)) = decode_key(&mut rest) {
        if wire_type != WireType::LengthDelimited {
            if skip_field(wire_type, tag, &mut rest, DecodeContext::default()).is_err() {
                break;
            }
            continue;
        }
        *left = left.checked_sub(1)?;
        let Ok(len) = decode_varint(&mut rest) else { break };
        let Some((content, behind)) = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len)) else {
            break;
        };
        if let Some(message) = message.field(tag) {
            count(content, message, left)?;
        }
        rest = behind;
    }
    Some(())
}
