#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::reshape::encode_copy;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::tensor::TensorType;

/// The identity, as dropout is in inference. Training puts a product with a mask of 0 and `1 / (1 − rate)` in its place
/// (Srivastava et al. 2014, section 10, "inverted dropout").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    /// Probability of an element to be dropped in training, `0 ≤ rate < 1`.
    pub rate: f32,
}

impl Operator for Dropout {
    const NAME: &'static str = "dropout";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        ensure_op!((0.0..1.0).contains(&self.rate), "the rate {} lies outside 0 ≤ rate < 1", self.rate);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        y.copy_from_slice(x[0].data);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        encode_copy(cx, x[0], y)
    }

    fn backward(&self, _: &mut Graph, _: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        Ok(vec![Some(dy)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        vec![Case::new(Self { rate: 0.5 }, [&[1]]), Case::new(Self { rate: 0.0 }, [&[3, 7]])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        x[0].clone()
    }
}
