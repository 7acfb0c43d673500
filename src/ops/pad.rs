#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, Slice, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::{self, Kernel};
use crate::tensor::{Shape, TensorType};

/// Cells of one value around `x` (ONNX operator spec, Pad, mode `constant`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pad {
    /// Cells before the first index of each dimension.
    pub before: Vec<usize>,
    /// Cells after the last index of each dimension.
    pub after: Vec<usize>,
    /// Value of these cells.
    pub value: f32,
}

impl Pad {
    /// Where row `row` of an `x` of this shape starts in the result. Rows run along the last dimension.
    fn row_offset(&self, mut row: usize, x: &Shape) -> usize {
        let mut stride = 1;
        let mut offset = 0;
        for d in (0..x.rank()).rev() {
            let mut at = self.before[d];
            if d + 1 < x.rank() {
                at += row % x[d];
                row /= x[d];
            }
            offset += at * stride;
            stride *= self.before[d] + x[d] + self.after[d];
        }
        offset
    }
}

impl Operator for Pad {
    const NAME: &'static str = "pad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        let rank = x[0].shape.rank();
        let fits = self.before.len() == rank && self.after.len() == rank;
        ensure_op!(fits, "{} + {} paddings do not fit {}", self.before.len(), self.after.len(), x[0].shape);
        let pads = self.before.iter().zip(&self.after);
        let extent =
            |(&size, (&before, &after)): (&usize, (&usize, &usize))| size.checked_add(before)?.checked_add(after);
        let dims = x[0].shape.iter().zip(pads).map(extent).collect::<Option<Vec<_>>>();
        dims.map(TensorType::f32).ok_or_else(|| OpError::new("a padded dimension is too large"))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        y.fill(self.value);
        let cols = x[0].shape.rows_cols().1;
        for (row, data) in x[0].data.chunks_exact(cols).enumerate() {
            y[self.row_offset(row, x[0].shape)..][..cols].copy_from_slice(data);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let dims = (0..y.shape.rank()).map(|d| [y.shape[d], self.before[d], x[0].shape[d]]).collect::<Vec<_>>();
        let mut words = wgsl::dim_words(&dims).ok_or_else(|| cx.no_kernel::<Self>())?;
        words.push(self.value.to_bits());
        cx.dispatch_each(&Kernel::new(include_str!("pad.wgsl")), &[x[0].region], &[y.region], y.shape.len(), &words)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let shape = g.get(g.get(v).inputs[0]).ty.shape.clone();
        let mut dx = dy;
        for axis in (0..shape.rank()).filter(|&d| self.before[d] + self.after[d] > 0) {
            let slice = Slice { axis, start: self.before[axis], len: shape[axis] };
            dx = g.add_for(v, "dx", slice, &[dx])?;
        }
        Ok(vec![Some(dx)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |before: &[usize], after: &[usize], value, shape| {
            Case::new(Self { before: before.to_vec(), after: after.to_vec(), value }, [shape])
        };
        vec![
            case(&[0], &[0], 0.0, &[1]),
            case(&[0, 1, 1, 0], &[0, 1, 1, 0], 0.0, &[2, 5, 3, 7]),
            case(&[0, 0, 0, 2], &[0, 1, 0, 3], -1.5, &[1, 3, 2, 5]),
            case(&[2, 0], &[1, 0], 0.5, &[3, 9]),
            case(&[3], &[0], 1.0, &[5]),
            case(&[], &[], 1.0, &[]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let pads = self.before.iter().zip(&self.after);
        let shape: Vec<usize> = x[0].shape().iter().zip(pads).map(|(n, (b, a))| b + n + a).collect();
        ArrayD::from_shape_fn(shape, |at| {
            let inner: Option<Vec<usize>> =
                self.before.iter().enumerate().map(|(d, &before)| at[d].checked_sub(before)).collect();
            inner.and_then(|at| x[0].get(at.as_slice()).copied()).unwrap_or(f64::from(self.value))
        })
    }
}
