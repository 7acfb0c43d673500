#[cfg(any(test, feature = "conformance"))]
use ndarray::{ArrayD, Axis};
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::{Shape, TensorType};

/// `e^xᵢ / Σⱼ e^xⱼ` along one dimension (ONNX operator spec, Softmax-13).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Softmax {
    /// The dimension, counted from 0.
    pub axis: usize,
}

/// Sizes before, along and behind a dimension.
fn split(x: &Shape, axis: usize) -> [usize; 3] {
    [x[..axis].iter().product(), x[axis], x[axis + 1..].iter().product()]
}

impl Operator for Softmax {
    const NAME: &'static str = "softmax";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        ensure_op!(self.axis < x[0].shape.rank(), "{} has no dimension {}", x[0].shape, self.axis);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let [outer, along, inner] = split(x[0].shape, self.axis);
        if inner == 1 {
            return cpu::softmax_rows(outer, along, x[0].data, y);
        }
        // Brought to rows and back, so that one kernel serves all.
        let len = along * inner;
        let (mut rows, mut result) = (cx.scratch.take(len), cx.scratch.take(len));
        for i in 0..outer {
            cpu::transpose(along, inner, &x[0].data[i * len..][..len], &mut rows);
            cpu::softmax_rows(inner, along, &rows, &mut result);
            cpu::transpose(inner, along, &result, &mut y[i * len..][..len]);
        }
        cx.scratch.give(rows);
        cx.scratch.give(result);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let [outer, along, inner] = split(x[0].shape, self.axis);
        let kernel = wgsl::rows(include_str!("softmax.wgsl"), along);
        cx.rows(&kernel, &[x[0].region], &[y.region], [outer * inner, along], &[inner as u32])
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        Ok(vec![Some(g.add_for(v, "dx", SoftmaxGrad { axis: self.axis }, &[v, dy])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |axis, shape| Case::new(Self { axis }, [shape]).range(0, -8.0, 8.0);
        vec![
            case(0, &[1]),
            case(1, &[7, 5]),
            case(1, &[3, 1000]),
            case(1, &[2, 5, 3, 7]),
            case(0, &[9, 4]),
            case(2, &[2, 3, 11]),
            // Without subtracting the largest element, e^x would overflow.
            case(1, &[3, 13]).range(0, 80.0, 120.0),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let e = x[0].mapv(f64::exp);
        let sum = e.sum_axis(Axis(self.axis)).insert_axis(Axis(self.axis));
        e / sum
    }
}

/// Gradient of [`Softmax`]: `yᵢ · (dyᵢ − Σⱼ yⱼ · dyⱼ)`. Inputs: `y`, `dy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxGrad {
    /// As in the forward op.
    pub axis: usize,
}

impl Operator for SoftmaxGrad {
    const NAME: &'static str = "softmax_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        ensure_op!(x[0].shape == x[1].shape, "value and gradient differ in shape");
        ensure_op!(self.axis < x[0].shape.rank(), "{} has no dimension {}", x[0].shape, self.axis);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        let [outer, along, inner] = split(x[0].shape, self.axis);
        if inner == 1 {
            return cpu::softmax_dx(outer, along, x[0].data, x[1].data, dx);
        }
        let len = along * inner;
        let [mut y, mut dy, mut result] = [(); 3].map(|()| cx.scratch.take(len));
        for i in 0..outer {
            cpu::transpose(along, inner, &x[0].data[i * len..][..len], &mut y);
            cpu::transpose(along, inner, &x[1].data[i * len..][..len], &mut dy);
            cpu::softmax_dx(inner, along, &y, &dy, &mut result);
            cpu::transpose(inner, along, &result, &mut dx[i * len..][..len]);
        }
        [y, dy, result].into_iter().for_each(|buffer| cx.scratch.give(buffer));
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let [outer, along, inner] = split(x[0].shape, self.axis);
        let kernel = wgsl::rows(include_str!("softmax_grad.wgsl"), along);
        let inputs = [x[0].region, x[1].region];
        cx.rows(&kernel, &inputs, &[y.region], [outer * inner, along], &[inner as u32])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |axis, shape| Case::new(Self { axis }, [shape, shape]).range(0, 0.0, 1.0);
        vec![case(0, &[1]), case(1, &[7, 13]), case(1, &[2, 5, 3, 7]), case(0, &[9, 4])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let dot = (&x[0] * &x[1]).sum_axis(Axis(self.axis)).insert_axis(Axis(self.axis));
        &x[0] * (&x[1] - &dot)
    }
}
