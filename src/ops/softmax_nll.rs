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
use crate::tensor::{Shape, TensorType};

/// Negative log-likelihood of a softmax, one loss a row: `lossᵢ = −Σⱼ tᵢⱼ · ln softmax(xᵢ)ⱼ`
/// (PyTorch `CrossEntropyLoss` with class probabilities, `reduction='none'`).
///
/// Inputs: logits `x` of `[m, c]`, targets `t` of `[m, c]`. Value: `[m]`. Targets get no gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxNll;

/// Fails unless logits and targets are matrices of one shape.
fn expect_rows(x: &[&TensorType]) -> Result<usize, OpError> {
    let (logits, targets) = (&x[0].shape, &x[1].shape);
    ensure_op!(logits.rank() == 2, "takes rows of logits [m, c], not {logits}");
    ensure_op!(logits == targets, "logits are {logits}, targets {targets}");
    Ok(logits[0])
}

impl Operator for SoftmaxNll {
    const NAME: &'static str = "softmax_nll";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        Ok(TensorType::f32([expect_rows(x)?]))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let (rows, cols) = x[0].shape.rows_cols();
        cpu::softmax_nll(rows, cols, x[0].data, x[1].data, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let (rows, columns) = x[0].shape.rows_cols();
        let kernel = wgsl::rows(include_str!("softmax_nll.wgsl"), columns);
        cx.rows(&kernel, &[x[0].region, x[1].region], &[y.region], [rows, columns], &[])
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let (logits, targets) = (g.get(v).inputs[0], g.get(v).inputs[1]);
        Ok(vec![Some(g.add_for(v, "dx", SoftmaxNllGrad, &[logits, targets, dy])?), None])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |shape: &[usize]| Case::new(Self, [shape, shape]).range(0, -8.0, 8.0).range(1, 0.0, 1.0).constant(1);
        vec![case(&[1, 1]), case(&[7, 5]), case(&[3, 37]), case(&[2, 11]).range(0, 80.0, 120.0)]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (logits, targets) = (&x[0], &x[1]);
        let classes = logits.shape()[1];
        ArrayD::from_shape_fn(vec![logits.shape()[0]], |at| {
            let log_sum = (0..classes).map(|j| logits[[at[0], j]].exp()).sum::<f64>().ln();
            (0..classes).map(|j| targets[[at[0], j]] * (log_sum - logits[[at[0], j]])).sum()
        })
    }
}

/// Gradient of [`SoftmaxNll`] in the logits: `(softmax(xᵢ)ⱼ · Σₖ tᵢₖ − tᵢⱼ) · dlossᵢ`. Inputs: logits, targets, `dloss` of `[m]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxNllGrad;

impl Operator for SoftmaxNllGrad {
    const NAME: &'static str = "softmax_nll_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 3)?;
        let m = expect_rows(&x[..2])?;
        ensure_op!(x[2].shape == Shape::from([m]), "the gradient is {}, not [{m}]", x[2].shape);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        let (rows, cols) = x[0].shape.rows_cols();
        cpu::softmax_nll_dx(rows, cols, x[0].data, x[1].data, x[2].data, dx);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let (rows, columns) = x[0].shape.rows_cols();
        let kernel = wgsl::rows(include_str!("softmax_nll_grad.wgsl"), columns);
        cx.rows(&kernel, &[x[0].region, x[1].region, x[2].region], &[y.region], [rows, columns], &[])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case =
            |shape: &[usize]| Case::new(Self, [shape, shape, &shape[..1]]).range(0, -8.0, 8.0).range(1, 0.0, 1.0);
        vec![case(&[1, 1]), case(&[7, 5]), case(&[3, 37])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (logits, targets, dloss) = (&x[0], &x[1], &x[2]);
        let over_row = |i: usize, f: &dyn Fn([usize; 2]) -> f64| (0..logits.shape()[1]).map(|j| f([i, j])).sum::<f64>();
        ArrayD::from_shape_fn(logits.raw_dim(), |at| {
            let softmax = logits[&at].exp() / over_row(at[0], &|at| logits[at].exp());
            (softmax * over_row(at[0], &|at| targets[at]) - targets[&at]) * dloss[[at[0]]]
        })
    }
}
