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

/// `factor · x`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The factor.
    pub factor: f32,
}

impl Operator for Scale {
    const NAME: &'static str = "scale";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        cpu::scale(x[0].data, self.factor, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        cx.map(&wgsl::unary(include_str!("scale.wgsl")), &[x[0].region], &[y.region], [self.factor, 0.0, 0.0])
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        Ok(vec![Some(g.add_for(v, "dx", self.clone(), &[dy])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |factor, shape| Case::new(Self { factor }, [shape]);
        vec![case(0.25, &[1]), case(-3.5, &[3, 37]), case(0.0, &[2, 3, 5])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        &x[0] * f64::from(self.factor)
    }
}
