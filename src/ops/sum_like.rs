#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::broadcast_like::{broadcast_shape, row_offset};
use super::{BroadcastLike, CpuContext, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::cpu;
use crate::tensor::TensorType;

/// Sums `x` over the dimensions in which `like` is broadcast to it: the gradient of broadcasting.
/// Inputs: `x`, and `like` for its shape, which is that of the value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SumLike;

impl Operator for SumLike {
    const NAME: &'static str = "sum_like";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        let (from, to) = (&x[0].shape, &x[1].shape);
        ensure_op!(broadcast_shape(from, to).as_ref() == Some(from), "{from} is not {to} broadcast");
        Ok(x[1].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let (from, to) = (x[0].shape, x[1].shape);
        let kept = to.iter().skip_while(|&&d| d == 1).count();
        if kept > 0 && from[from.rank() - kept..] == to[to.rank() - kept..] {
            return cpu::sum_rows(x[0].data.len() / y.len(), y.len(), x[0].data, y);
        }
        y.fill(0.0);
        let cols = from.rows_cols().1;
        for (row, x) in x[0].data.chunks_exact(cols).enumerate() {
            let y = &mut y[row_offset(row, to, from)..];
            match to.last() {
                Some(&last) if last == cols => y.iter_mut().zip(x).for_each(|(y, x)| *y += x),
                _ => y[0] += x.iter().sum::<f32>(),
            }
        }
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let x = g.get(v).inputs[0];
        Ok(vec![Some(g.add_for(v, "dx", BroadcastLike, &[dy, x])?), None])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |(like, x): (&[usize], &[usize])| Case::new(Self, [x, like]).constant(1);
        let long: (&[usize], &[usize]) = (&[37], &[129, 37]);
        super::broadcast_like::BROADCASTS.into_iter().chain([long]).map(case).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let mut y = ArrayD::zeros(x[1].shape());
        let missing = x[0].ndim() - x[1].ndim();
        for (at, x) in x[0].indexed_iter() {
            let at: Vec<usize> = y.shape().iter().enumerate().map(|(d, &n)| at[missing + d].min(n - 1)).collect();
            y[at.as_slice()] += x;
        }
        y
    }
}
