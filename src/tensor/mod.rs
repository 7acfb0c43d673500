//! Host tensors: a shape and its elements in row-major order.

mod digest;
mod rows;
mod shape;

use std::sync::OnceLock;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub(crate) use digest::{Digest, Hash, hex};
pub use rows::{Floats, Rows};
pub use shape::Shape;

/// Element types of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 32-bit float, the only type kernels compute in.
    F32,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 8-bit unsigned integer.
    U8,
    /// Truth value, one byte.
    Bool,
}

/// Type of a value in a graph: element type and shape, no data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Extent of each dimension.
    pub shape: Shape,
}

impl TensorType {
    /// An `f32` tensor of the shape.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Self { dtype: DType::F32, shape: shape.into() }
    }
}

/// Elements of a [`Tensor`], row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 32-bit signed integers.
    I32(Vec<i32>),
    /// 64-bit signed integers.
    I64(Vec<i64>),
    /// Bytes.
    U8(Vec<u8>),
    /// Truth values.
    Bool(Vec<bool>),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::I32(_) => DType::I32,
            Self::I64(_) => DType::I64,
            Self::U8(_) => DType::U8,
            Self::Bool(_) => DType::Bool,
        }
    }
}

/// A tensor on the host.
#[derive(Debug, Clone)]
pub struct Tensor {
    shape: Shape,
    data: Data,
    /// Once asked for, and as long as the elements stay.
    digest: OnceLock<Digest>,
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.data == other.data
    }
}

impl Tensor {
    /// Checks that the number of elements is that of the shape.
    pub fn new(shape: impl Into<Shape>, data: Data) -> Result<Self> {
        let shape = shape.into();
        match shape.checked_len() {
            Some(len) if len == data.len() => Ok(Self { shape, data, digest: OnceLock::new() }),
            _ => Err(Error::Shape {
                vertex: String::new(),
                op: "tensor",
                reason: format!("{} elements do not fill the shape", data.len()),
                inputs: vec![shape],
            }),
        }
    }

    /// An `f32` tensor; see [`Tensor::new`].
    pub fn f32(shape: impl Into<Shape>, data: Vec<f32>) -> Result<Self> {
        Self::new(shape, Data::F32(data))
    }

    /// An `f32` tensor of zeros.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let data = Data::F32(vec![0.0; shape.len()]);
        Self { shape, data, digest: OnceLock::new() }
    }

    /// A tensor without dimensions.
    pub fn scalar(value: f32) -> Self {
        Self { shape: Shape::default(), data: Data::F32(vec![value]), digest: OnceLock::new() }
    }

    /// Extent of each dimension.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Element type and shape.
    pub fn ty(&self) -> TensorType {
        TensorType { dtype: self.dtype(), shape: self.shape.clone() }
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements of an `f32` tensor.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// Mutable elements of an `f32` tensor.
    pub fn as_f32_mut(&mut self) -> Option<&mut [f32]> {
        self.digest.take();
        match &mut self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The elements of an `i64` tensor.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            Data::I64(v) => Some(v),
            _ => None,
        }
    }

    /// Takes the elements of an `f32` tensor.
    pub fn into_f32(self) -> Option<Vec<f32>> {
        match self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The same elements under another shape of the same length.
    pub fn reshape(self, shape: impl Into<Shape>) -> Result<Self> {
        Self::new(shape, self.data)
    }

    /// An `f32` tensor with its dimensions in the order of `perm`: dimension `i` of the result is `perm[i]` of this one.
    pub fn permute(&self, perm: &[usize]) -> Result<Self> {
        let data = self.as_f32().ok_or_else(|| Error::internal("permute takes f32 tensors"))?;
        let mut seen = vec![false; self.shape.rank()];
        let valid = perm.len() == seen.len()
            && perm.iter().all(|&p| seen.get_mut(p).is_some_and(|s| !std::mem::replace(s, true)));
        if !valid {
            return Err(Error::internal(format!("{perm:?} is no permutation of {}", self.shape)));
        }
        let mut y = vec![0.0; data.len()];
        regraft_kernels::permute(&self.shape, perm, data, &mut y);
        Self::f32(perm.iter().map(|&d| self.shape[d]).collect::<Vec<_>>(), y)
    }

    /// The elements in `f64`, for references.
    pub fn to_f64(&self) -> ArrayD<f64> {
        let values: Vec<f64> = match &self.data {
            Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
            Data::U8(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
        };
        let mut array = ArrayD::zeros(self.shape.to_vec());
        array.iter_mut().zip(values).for_each(|(a, v)| *a = v);
        array
    }

    /// SHA-256 of the elements as bytes. Later calls give what the first one found: weights are many, and change seldom.
    pub(crate) fn digest(&self) -> &Digest {
        self.digest.get_or_init(|| {
            let mut hash = Hash::default();
            match &self.data {
                Data::F32(v) => hash.update(bytemuck::cast_slice::<f32, u8>(v)),
                Data::I32(v) => hash.update(bytemuck::cast_slice::<i32, u8>(v)),
                Data::I64(v) => hash.update(bytemuck::cast_slice::<i64, u8>(v)),
                Data::U8(v) => hash.update(v),
                Data::Bool(v) => hash.update(v.iter().map(|&x| u8::from(x)).collect::<Vec<_>>()),
            }
            hash.finish()
        })
    }

    /// Bytes the elements take.
    pub fn bytes(&self) -> usize {
        let size = match self.dtype() {
            DType::F32 | DType::I32 => 4,
            DType::I64 => 8,
            DType::U8 | DType::Bool => 1,
        };
        self.shape.len() * size
    }
}
