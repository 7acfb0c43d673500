#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::broadcast_like::{broadcast_shape, zip_broadcast};
use super::{CpuContext, GpuContext, GpuView, Operator, SumLike, View};
use crate::error::{OpError, Result};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::{Shape, TensorType};

/// `a + b`, broadcast as in numpy (ONNX operator spec, Add).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Add;

/// Shape of `a ∘ b`, or why there is none.
pub(super) fn elementwise_shape(a: &Shape, b: &Shape) -> Result<Shape, OpError> {
    broadcast_shape(a, b).ok_or_else(|| OpError::new(format!("{a} and {b} cannot be broadcast to each other")))
}

/// Dispatches an elementwise function of two values that are broadcast to each other; `f` is that of [`wgsl::binary`].
pub(super) fn encode_elementwise<O: Operator>(
    f: &str,
    cx: &mut GpuContext,
    x: &[GpuView<'_>],
    y: GpuView<'_>,
) -> Result<()> {
    let regions = [x[0].region, x[1].region];
    if x[0].shape == x[1].shape {
        return cx.map(&wgsl::binary(f), &regions, &[y.region], [0.0; 3]);
    }
    let strided = wgsl::broadcast(f, x[0].shape, x[1].shape, y.shape).ok_or_else(|| cx.no_kernel::<O>())?;
    cx.strided(&strided, &regions, y.region)
}

/// `d`, summed to the shape of `x` where `x` was broadcast.
pub(super) fn unbroadcast(g: &mut Graph, v: VertexId, part: &str, d: VertexId, x: VertexId) -> Result<VertexId> {
    if g.get(d).ty.shape == g.get(x).ty.shape { Ok(d) } else { g.add_for(v, part, SumLike, &[d, x]) }
}

impl Operator for Add {
    const NAME: &'static str = "add";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        elementwise_shape(&x[0].shape, &x[1].shape).map(TensorType::f32)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        zip_broadcast(x[0], x[1], y, cpu::add);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        encode_elementwise::<Self>(include_str!("add.wgsl"), cx, x, y)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let (a, b) = (g.get(v).inputs[0], g.get(v).inputs[1]);
        Ok(vec![Some(unbroadcast(g, v, "da", dy, a)?), Some(unbroadcast(g, v, "db", dy, b)?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        ELEMENTWISE.into_iter().map(|shapes| Case::new(Self, shapes)).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        &x[0] + &x[1]
    }
}

/// Pairs of shapes that are broadcast to each other in every way.
#[cfg(any(test, feature = "conformance"))]
pub(super) const ELEMENTWISE: [[&[usize]; 2]; 10] = [
    [&[1], &[1]],
    [&[3, 5, 7], &[3, 5, 7]],
    [&[2, 3, 4, 19], &[19]],
    [&[19], &[2, 3, 19]],
    [&[2, 3, 4, 9], &[2, 1, 1, 9]],
    [&[13, 1], &[1, 11]],
    [&[2, 3, 5], &[2, 3, 1]],
    [&[4, 5], &[]],
    [&[2, 3, 5, 8], &[8]],
    [&[3, 1, 12], &[3, 5, 12]],
];
