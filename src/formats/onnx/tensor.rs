//! `TensorProto` to elements, wherever the file keeps them.

use std::collections::BTreeMap;

use half::{bf16, f16};

use super::bad;
use super::proto::{self, EXTERNAL, data_type};
use crate::error::Result;
use crate::tensor::{Data, Tensor};

/// Other files of the model, by name.
pub(super) type Files<'a> = BTreeMap<String, &'a [u8]>;

/// Elements of a stored tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stored {
    /// Floats of any size, as `f32`.
    Floats(Tensor),
    /// Integers of any size and truth values, with their shape.
    Integers(Vec<usize>, Vec<i64>),
    /// Of a type that is not read.
    Unsupported(&'static str),
}

/// Reads a tensor, wherever its elements lie.
///
/// # Errors
/// `format` where the shape is impossible, the elements do not fill it, or their file is missing or too short.
pub(super) fn read(tensor: proto::Tensor, files: &Files<'_>) -> Result<Stored> {
    let name = tensor.name.clone();
    let fail = |why: String| bad(format!("tensor '{name}': {why}"));
    let shape = shape(&tensor.dims).map_err(&fail)?;
    let len = shape.iter().try_fold(1usize, |len, &d| len.checked_mul(d)).filter(|&len| len <= MAX_ELEMENTS);
    let len = len.ok_or_else(|| fail(format!("{:?} is too large", tensor.dims)))?;
    if element_size(tensor.data_type).is_none() {
        return Ok(Stored::Unsupported(data_type::name(tensor.data_type)));
    }
    let data = match stored_bytes(&tensor, files, len).map_err(&fail)? {
        Some(bytes) => from_bytes(tensor.data_type, bytes),
        None => from_fields(tensor),
    };
    let found = match &data {
        Elements::Floats(v) => v.len(),
        Elements::Integers(v) => v.len(),
    };
    if found != len {
        return Err(fail(format!("{found} elements do not fill {shape:?}")));
    }
    match data {
        Elements::Floats(values) => {
            Tensor::new(shape, Data::F32(values)).map(Stored::Floats).map_err(|e| fail(e.to_string()))
        }
        Elements::Integers(values) => Ok(Stored::Integers(shape, values)),
    }
}

/// Keeps byte counts far from overflow; no protobuf and no browser holds a tensor of this size.
const MAX_ELEMENTS: usize = 1 << 30;

enum Elements {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

/// Most dimensions of a value; no operator has a meaning for more than a handful.
pub(super) const MAX_RANK: usize = 16;

fn shape(dims: &[i64]) -> Result<Vec<usize>, String> {
    if dims.len() > MAX_RANK {
        return Err(format!("it has {} dimensions, more than {MAX_RANK}", dims.len()));
    }
    dims.iter().map(|&d| usize::try_from(d).map_err(|_| format!("the dimension {d} is negative"))).collect()
}

/// Bytes of an element in `raw_data`; `None` for types that are not read.
fn element_size(kind: i32) -> Option<usize> {
    match kind {
        data_type::UINT8 | data_type::BOOL => Some(1),
        data_type::FLOAT16 | data_type::BFLOAT16 => Some(2),
        data_type::FLOAT | data_type::INT32 => Some(4),
        data_type::DOUBLE | data_type::INT64 => Some(8),
        _ => None,
    }
}

/// The little-endian bytes of the elements; `None` where they are in typed fields.
fn stored_bytes<'a>(tensor: &'a proto::Tensor, files: &'a Files<'_>, len: usize) -> Result<Option<&'a [u8]>, String> {
    let size = element_size(tensor.data_type).unwrap_or(1);
    let bytes = if tensor.data_location == EXTERNAL {
        external(tensor, files, len.saturating_mul(size))?
    } else {
        match tensor.raw_data.as_deref() {
            None | Some([]) => return Ok(None),
            Some(raw) => raw,
        }
    };
    if len.checked_mul(size) != Some(bytes.len()) {
        return Err(format!("{} bytes do not hold {len} elements of {size} bytes", bytes.len()));
    }
    Ok(Some(bytes))
}

/// External data (ONNX repository, `docs/ExternalData.md`): `location` names a file beside the model, `offset` and `length` count bytes.
fn external<'a>(tensor: &proto::Tensor, files: &'a Files<'_>, needed: usize) -> Result<&'a [u8], String> {
    let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => {
            text.parse::<usize>().map(Some).map_err(|_| format!("the {key} '{text}' of its data is no number"))
        }
    };
    let location = entry("location").ok_or("its external data has no location")?;
    let file = find(files, location).ok_or_else(|| format!("the file '{location}' with its data is missing"))?;
    let start = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(needed);
    let end = start.checked_add(length).filter(|&end| end <= file.len());
    let end = end.ok_or_else(|| format!("'{location}' has {} bytes, not {length} from {start} on", file.len()))?;
    Ok(&file[start..end])
}

/// A file by its path, or by its last part: files that a user picked have no folders.
fn find<'a>(files: &'a Files<'_>, location: &str) -> Option<&'a [u8]> {
    let path = location.strip_prefix("./").unwrap_or(location);
    let last = path.rsplit(['/', '\\']).next().unwrap_or(path);
    files.get(location).or_else(|| files.get(path)).or_else(|| files.get(last)).copied()
}

fn from_bytes(kind: i32, bytes: &[u8]) -> Elements {
    fn each<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&element| value(element)).collect()
    }
    match kind {
        data_type::FLOAT => Elements::Floats(each(bytes, f32::from_le_bytes)),
        data_type::FLOAT16 => Elements::Floats(each(bytes, |b| f16::from_le_bytes(b).to_f32())),
        data_type::BFLOAT16 => Elements::Floats(each(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        data_type::DOUBLE => Elements::Floats(each(bytes, |b| f64::from_le_bytes(b) as f32)),
        data_type::INT32 => Elements::Integers(each(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        data_type::INT64 => Elements::Integers(each(bytes, i64::from_le_bytes)),
        _ => Elements::Integers(each(bytes, |[b]| i64::from(b))),
    }
}

/// Typed fields (`onnx.proto`, comments of `TensorProto`): types of up to 32 bits share `int32_data`, 16-bit floats as their bits.
fn from_fields(tensor: proto::Tensor) -> Elements {
    let bits = |value: i32| value as u16;
    match tensor.data_type {
        data_type::FLOAT => Elements::Floats(tensor.float_data),
        data_type::FLOAT16 => {
            Elements::Floats(tensor.int32_data.iter().map(|&v| f16::from_bits(bits(v)).to_f32()).collect())
        }
        data_type::BFLOAT16 => {
            Elements::Floats(tensor.int32_data.iter().map(|&v| bf16::from_bits(bits(v)).to_f32()).collect())
        }
        data_type::DOUBLE => Elements::Floats(tensor.double_data.iter().map(|&v| v as f32).collect()),
        data_type::INT64 => Elements::Integers(tensor.int64_data),
        _ => Elements::Integers(tensor.int32_data.iter().map(|&v| i64::from(v)).collect()),
    }
}
