//! Reads and writes safetensors files (huggingface/safetensors, format description in its README).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorInfo};
use safetensors::{SafeTensorError, SafeTensors, View};

use crate::error::{Error, Result};
use crate::tensor::{Data, Tensor};

#[cfg(test)]
mod tests;

/// Text a file carries beside its tensors.
pub type Metadata = BTreeMap<String, String>;

/// Type in which [`write()`] stores floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatType {
    /// 32 bits: exact.
    F32,
    /// 16 bits, rounded to nearest even: half the size.
    F16,
}

/// Named tensors in the order of their bytes in the file, and the file's metadata.
///
/// `f16`, `bf16`, `f32` and `f64` become `f32`; `i32`, `i64`, `u8` and `bool` stay.
///
/// # Errors
/// [`Error::Format`] for a malformed file, and for a tensor of another type (both are named).
pub fn read(bytes: &[u8]) -> Result<(Vec<(String, Tensor)>, Metadata)> {
    let (header_len, header) = SafeTensors::read_metadata(bytes).map_err(reason)?;
    let data = bytes.get(size_of::<u64>() + header_len..).unwrap_or_default();
    let metadata = header.metadata().iter().flatten();
    let metadata = metadata.map(|(key, value)| (key.clone(), value.clone())).collect();
    let named = header.offset_keys().into_iter().filter_map(|name| {
        let info = header.info(&name)?;
        let (start, end) = info.data_offsets;
        let tensor = tensor(info, data.get(start..end).unwrap_or_default());
        Some(tensor.map_err(|why| bad(format!("tensor '{name}': {why}"))).map(|t| (name, t)))
    });
    Ok((named.collect::<Result<_>>()?, metadata))
}

/// A file with the tensors; types other than `f32` are stored as they are. The file orders tensors by type and name,
/// as the format recommends for alignment, and metadata by key, so that the same content gives the same bytes.
///
/// # Errors
/// [`Error::Format`] when two tensors share a name, or the header would pass the format's 100 MB.
pub fn write(tensors: &[(String, &Tensor)], metadata: &Metadata, floats: FloatType) -> Result<Vec<u8>> {
    let mut names: Vec<_> = tensors.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    if let Some([name, _]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(bad(format!("two tensors are called '{name}'")));
    }
    let unordered: HashMap<_, _> = metadata.clone().into_iter().collect();
    let unordered = (!unordered.is_empty()).then_some(unordered);
    let views = tensors.iter().map(|(name, tensor)| (name, Stored { tensor, floats }));
    let mut bytes = safetensors::serialize(views, unordered).map_err(reason)?;
    if !metadata.is_empty() {
        order(metadata, &mut bytes)?;
    }
    Ok(bytes)
}

/// How a header with metadata begins.
const HEADER_START: &[u8] = br#"{"__metadata__":"#;

/// Puts the metadata of a written file in order: the serializer takes a map that has another one each time, and the text is as long.
fn order(metadata: &Metadata, bytes: &mut [u8]) -> Result<()> {
    let json = serde_json::to_string(metadata).map_err(|e| Error::internal(e.to_string()))?;
    let start = bytes.get_mut(size_of::<u64>()..).and_then(|header| header.split_at_mut_checked(HEADER_START.len()));
    let place = match start {
        Some((start, rest)) if start == HEADER_START => {
            rest.get_mut(..json.len()).filter(|place| place.ends_with(b"}"))
        }
        _ => None,
    };
    place
        .ok_or_else(|| Error::internal("a written header begins with something else"))?
        .copy_from_slice(json.as_bytes());
    Ok(())
}

/// Whether the content is a safetensors file: a header length that fits, and the start of a JSON object.
pub fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk::<8>() else { return false };
    let fits = usize::try_from(u64::from_le_bytes(*len)).is_ok_and(|len| len <= rest.len());
    fits && rest.first() == Some(&b'{')
}

fn bad(reason: impl Into<String>) -> Error {
    Error::format("safetensors", reason)
}

fn reason(error: SafeTensorError) -> Error {
    bad(error.to_string())
}

fn tensor(info: &TensorInfo, bytes: &[u8]) -> Result<Tensor, String> {
    let data = match info.dtype {
        Dtype::F16 => Data::F32(elements(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Data::F32(elements(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        Dtype::F32 => Data::F32(elements(bytes, f32::from_le_bytes)),
        Dtype::F64 => Data::F32(elements(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::I32 => Data::I32(elements(bytes, i32::from_le_bytes)),
        Dtype::I64 => Data::I64(elements(bytes, i64::from_le_bytes)),
        Dtype::U8 => Data::U8(bytes.to_vec()),
        Dtype::BOOL => Data::Bool(elements(bytes, |[b]| b != 0)),
        other => return Err(format!("type {other} is not read")),
    };
    Tensor::new(info.shape.as_slice(), data).map_err(|e| e.to_string())
}

fn elements<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&element| value(element)).collect()
}

/// A tensor as the file stores it; its bytes are made when their turn comes, one tensor at a time.
struct Stored<'a> {
    tensor: &'a Tensor,
    floats: FloatType,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match (self.tensor.data(), self.floats) {
            (Data::F32(_), FloatType::F32) => Dtype::F32,
            (Data::F32(_), FloatType::F16) => Dtype::F16,
            (Data::I32(_), _) => Dtype::I32,
            (Data::I64(_), _) => Dtype::I64,
            (Data::U8(_), _) => Dtype::U8,
            (Data::Bool(_), _) => Dtype::BOOL,
        }
    }

    fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match (self.tensor.data(), self.floats) {
            (Data::F32(v), FloatType::F32) => little(v, |x| x.to_le_bytes()),
            (Data::F32(v), FloatType::F16) => little(v, |x| f16::from_f32(x).to_le_bytes()),
            (Data::I32(v), _) => little(v, i32::to_le_bytes),
            (Data::I64(v), _) => little(v, i64::to_le_bytes),
            (Data::U8(v), _) => Cow::Borrowed(v),
            (Data::Bool(v), _) => little(v, |x| [u8::from(x)]),
        }
    }

    fn data_len(&self) -> usize {
        let half = matches!((self.tensor.data(), self.floats), (Data::F32(_), FloatType::F16));
        if half { self.tensor.bytes() / 2 } else { self.tensor.bytes() }
    }
}

fn little<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Cow<'static, [u8]> {
    Cow::Owned(values.iter().flat_map(|&value| bytes(value)).collect())
}
