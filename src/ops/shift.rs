#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// `x + by`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// What is added.
    pub by: f32,
}

impl Operator for Shift {
    const NAME: &'static str = "shift";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        cpu::shift(x[0].data, self.by, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        cx.map(&wgsl::unary(include_str!("shift.wgsl")), &[x[0].region], &[y.region], [self.by, 0.0, 0.0])
    }

    fn backward(&self, _: &mut Graph, _: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        Ok(vec![Some(dy)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |by, shape| Case::new(Self { by }, [shape]);
        vec![case(0.25, &[1]), case(-3.5, &[3, 37]), case(1.0, &[2, 3, 5, 7])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        &x[0] + f64::from(self.by)
    }
}
