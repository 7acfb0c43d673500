//! From a piece of a storage to a row-major tensor, in one pass.

use half::{bf16, f16};

use super::bad;
use super::pickle::Id;
use crate::error::Result;
use crate::tensor::{Data, Tensor};

/// Dimensions a tensor may have; PyTorch's own limit.
pub(super) const MAX_RANK: usize = 64;

/// Type of the elements of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    I32,
    I64,
    U8,
    Bool,
}

impl Element {
    /// Bytes of one element in the file.
    pub(super) fn size(self) -> usize {
        match self {
            Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// Bytes of one element on the host.
    fn host_size(self) -> usize {
        match self {
            Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }
}

/// Byte order of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// Element type and byte order of a numpy array.
#[derive(Debug, Clone, Copy)]
pub(super) struct DtypeOf {
    pub(super) element: Element,
    pub(super) order: Order,
}

/// A flat run of elements that tensors share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage {
    /// A string that names the storage in the container, or the bytes themselves.
    pub(super) key: Id,
    pub(super) element: Element,
    pub(super) order: Order,
    /// Number of elements.
    pub(super) len: usize,
}

/// A strided view of a storage, checked to lie inside it.
#[derive(Debug)]
pub(super) struct TensorRef {
    pub(super) storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    /// Extent and stride of the dimensions longer than 1.
    dims: Vec<(usize, usize)>,
    len: usize,
}

impl TensorRef {
    /// `offset` and `strides` count elements.
    pub(super) fn new(storage: Storage, offset: usize, shape: Vec<usize>, strides: Vec<usize>) -> Result<Self> {
        if shape.len() != strides.len() {
            return Err(bad(format!("shape {shape:?} has strides {strides:?}")));
        }
        let len = shape.iter().try_fold(1usize, |len, &d| len.checked_mul(d));
        let len = len.ok_or_else(|| bad(format!("shape {shape:?} is too large")))?;
        let dims: Vec<_> = shape.iter().copied().zip(strides).filter(|&(d, _)| d != 1).collect();
        if len > 0 {
            let last = dims.iter().try_fold(offset, |at, &(d, stride)| at.checked_add((d - 1).checked_mul(stride)?));
            if last.is_none_or(|last| last >= storage.len) {
                return Err(bad(format!(
                    "a tensor of shape {shape:?} at {offset} leaves its storage of {} elements",
                    storage.len
                )));
            }
        }
        Ok(Self { storage, offset, shape, dims, len })
    }

    /// Bytes the tensor takes on the host, or `None` where they do not fit `usize`.
    pub(super) fn host_bytes(&self) -> Option<usize> {
        self.len.checked_mul(self.storage.element.host_size())
    }

    /// Copies the elements out of the bytes of the storage.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Tensor> {
        let data = match self.storage.element {
            Element::F16 => Data::F32(self.gather(bytes, |b| f16::from_le_bytes(b).to_f32())?),
            Element::Bf16 => Data::F32(self.gather(bytes, |b| bf16::from_le_bytes(b).to_f32())?),
            Element::F32 => Data::F32(self.gather(bytes, f32::from_le_bytes)?),
            Element::F64 => Data::F32(self.gather(bytes, |b| f64::from_le_bytes(b) as f32)?),
            Element::I32 => Data::I32(self.gather(bytes, i32::from_le_bytes)?),
            Element::I64 => Data::I64(self.gather(bytes, i64::from_le_bytes)?),
            Element::U8 => Data::U8(self.gather(bytes, u8::from_le_bytes)?),
            Element::Bool => Data::Bool(self.gather(bytes, |[b]| b != 0)?),
        };
        Tensor::new(self.shape.as_slice(), data)
    }

    fn gather<T, const N: usize>(&self, bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        let elements = match bytes.as_chunks::<N>().0 {
            elements if elements.len() == self.storage.len => elements,
            elements => {
                let (have, want) = (elements.len(), self.storage.len);
                return Err(bad(format!("a storage has {have} elements instead of {want}")));
            }
        };
        let value = |mut element: [u8; N]| {
            if self.storage.order == Order::Big {
                element.reverse();
            }
            value(element)
        };
        if self.len == 0 {
            return Ok(Vec::new());
        }
        if self.is_row_major() {
            let run = &elements[self.offset..self.offset + self.len];
            return Ok(run.iter().map(|&element| value(element)).collect());
        }
        // Starts of the innermost runs, in the order of the result.
        let (&(cols, step), outer) = self.dims.split_last().unwrap_or((&(1, 1), &[]));
        let starts = outer.iter().fold(vec![self.offset], |starts, &(d, stride)| {
            starts.iter().flat_map(|start| (0..d).map(move |i| start + i * stride)).collect()
        });
        let mut out = Vec::with_capacity(self.len);
        for start in starts {
            out.extend((0..cols).map(|i| value(elements[start + i * step])));
        }
        Ok(out)
    }

    fn is_row_major(&self) -> bool {
        let mut step = 1;
        self.dims.iter().rev().all(|&(d, stride)| {
            let next = stride == step;
            step *= d;
            next
        })
    }
}
