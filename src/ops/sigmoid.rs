#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// `1 / (1 + e^−x)` (ONNX operator spec, Sigmoid).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sigmoid;

impl Operator for Sigmoid {
    const NAME: &'static str = "sigmoid";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        cpu::sigmoid(x[0].data, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        cx.map(&wgsl::unary(include_str!("sigmoid.wgsl")), &[x[0].region], &[y.region], [0.0; 3])
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        Ok(vec![Some(g.add_for(v, "dx", SigmoidGrad, &[v, dy])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        vec![
            Case::new(Self, [&[1]]),
            Case::new(Self, [&[3, 5, 7]]).range(0, -10.0, 10.0),
            Case::new(Self, [&[41]]).range(0, -110.0, 110.0).constant(0),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        x[0].mapv(|x| 1.0 / (1.0 + (-x).exp()))
    }
}

/// Gradient of [`Sigmoid`]: `dy · y · (1 − y)`. Inputs: `y`, `dy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SigmoidGrad;

impl Operator for SigmoidGrad {
    const NAME: &'static str = "sigmoid_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        ensure_op!(x[0].shape == x[1].shape, "value and gradient differ in shape");
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        cpu::sigmoid_dx(x[0].data, x[1].data, dx);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        cx.map(&wgsl::binary(include_str!("sigmoid_grad.wgsl")), &[x[0].region, x[1].region], &[y.region], [0.0; 3])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |shape| Case::new(Self, [shape, shape]).range(0, 0.0, 1.0);
        vec![case(&[1]), case(&[3, 37])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        x[0].mapv(|y| y * (1.0 - y)) * &x[1]
    }
}
