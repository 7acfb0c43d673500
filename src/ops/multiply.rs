#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::add::{elementwise_shape, encode_elementwise, unbroadcast};
use super::attributes::expect_f32;
use super::broadcast_like::zip_broadcast;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result};
use crate::graph::{Graph, VertexId};
use crate::tensor::TensorType;

/// `a · b` element by element, broadcast as in numpy (ONNX operator spec, Mul).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Multiply;

impl Operator for Multiply {
    const NAME: &'static str = "multiply";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        elementwise_shape(&x[0].shape, &x[1].shape).map(TensorType::f32)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        zip_broadcast(x[0], x[1], y, cpu::mul);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        encode_elementwise::<Self>(include_str!("multiply.wgsl"), cx, x, y)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let (a, b) = (g.get(v).inputs[0], g.get(v).inputs[1]);
        let of_a = g.add_for(v, "dy_b", Self, &[dy, b])?;
        let of_b = g.add_for(v, "dy_a", Self, &[dy, a])?;
        Ok(vec![Some(unbroadcast(g, v, "da", of_a, a)?), Some(unbroadcast(g, v, "db", of_b, b)?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        super::add::ELEMENTWISE.into_iter().map(|shapes| Case::new(Self, shapes)).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        &x[0] * &x[1]
    }
}
