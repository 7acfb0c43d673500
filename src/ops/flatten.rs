#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::reshape::{encode_copy, reshape_back};
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::tensor::TensorType;

/// A matrix of the same elements: dimensions before `axis` become rows, the rest columns (ONNX operator spec, Flatten).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flatten {
    /// First dimension that becomes part of a column; up to the rank.
    pub axis: usize,
}

impl Operator for Flatten {
    const NAME: &'static str = "flatten";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        let shape = &x[0].shape;
        ensure_op!(self.axis <= shape.rank(), "{shape} has no dimension {}", self.axis);
        let (rows, cols) = shape.split_at(self.axis);
        Ok(TensorType::f32([rows.iter().product(), cols.iter().product()]))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        y.copy_from_slice(x[0].data);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        encode_copy(cx, x[0], y)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        reshape_back(g, v, dy).map(|dx| vec![Some(dx)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |axis, shape| Case::new(Self { axis }, [shape]);
        vec![case(0, &[1]), case(1, &[2, 3, 5, 7]), case(3, &[3, 2, 5]), case(2, &[3, 2, 5])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (rows, cols) = x[0].shape().split_at(self.axis);
        super::reshape::reshaped(&x[0], &[rows.iter().product(), cols.iter().product()])
    }
}
