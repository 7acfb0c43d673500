use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::{CpuContext, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::tensor::{DType, TensorType};

/// A value given from outside for every run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its type.
    #[serde(flatten)]
    pub ty: TensorType,
    /// Whether the first dimension is the batch.
    pub batched: bool,
}

impl Operator for Input {
    const NAME: &'static str = "input";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        ensure_op!(x.is_empty(), "takes no inputs");
        ensure_op!(self.ty.dtype == DType::F32, "inputs are f32");
        Ok(self.ty.clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        Vec::new()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, _: &[ndarray::ArrayD<f64>]) -> ndarray::ArrayD<f64> {
        ndarray::ArrayD::zeros(self.ty.shape.to_vec())
    }
}
