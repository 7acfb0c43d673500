#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, SumLike, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::{Shape, TensorType};

/// `x` repeated along the dimensions in which it is 1 or that it lacks, up to the shape of `like` (numpy manual, "Broadcasting").
/// Inputs: `x`, and `like` for its shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BroadcastLike;

impl Operator for BroadcastLike {
    const NAME: &'static str = "broadcast_like";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        let (from, to) = (&x[0].shape, &x[1].shape);
        ensure_op!(broadcast_shape(from, to).as_ref() == Some(to), "{from} cannot be broadcast to {to}");
        Ok(x[1].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let (from, to) = (x[0].shape, x[1].shape);
        let cols = to.rows_cols().1;
        for (row, y) in y.chunks_exact_mut(cols).enumerate() {
            let x = &x[0].data[row_offset(row, from, to)..];
            match from.last() {
                Some(&last) if last == cols => y.copy_from_slice(&x[..cols]),
                _ => y.fill(x[0]),
            }
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let dims = wgsl::repeated(x[0].shape, y.shape);
        let strided = wgsl::gather(&dims, 0).ok_or_else(|| cx.no_kernel::<Self>())?;
        cx.strided(&strided, &[x[0].region], y.region)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let x = g.get(v).inputs[0];
        Ok(vec![Some(g.add_for(v, "dx", SumLike, &[dy, x])?), None])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |from: &[usize], to: &[usize]| Case::new(Self, [from, to]).constant(1);
        BROADCASTS.iter().map(|(from, to)| case(from, to)).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        broadcast_to(&x[0], x[1].shape())
    }
}

/// Shapes and larger ones they are broadcast to.
#[cfg(any(test, feature = "conformance"))]
pub(super) const BROADCASTS: [(&[usize], &[usize]); 11] = [
    (&[1], &[1]),
    (&[], &[3, 5]),
    (&[7], &[2, 3, 5, 7]),
    (&[1, 7], &[13, 7]),
    (&[13, 1], &[13, 7]),
    (&[2, 1, 1, 19], &[2, 3, 5, 19]),
    (&[2, 1, 1, 8], &[2, 3, 5, 8]),
    (&[3, 1, 5], &[2, 3, 4, 5]),
    (&[2, 1, 3, 1], &[2, 4, 3, 9]),
    (&[2, 3, 5], &[2, 3, 5]),
    (&[3, 1, 5], &[3, 1, 5]),
];

/// `x` broadcast by ndarray, which the kernels do not use.
#[cfg(any(test, feature = "conformance"))]
pub(super) fn broadcast_to(x: &ArrayD<f64>, shape: &[usize]) -> ArrayD<f64> {
    x.broadcast(shape).unwrap_or_else(|| panic!("{:?} is not broadcast to {shape:?}", x.shape())).to_owned()
}

/// Shape of the result of an elementwise op; `None` where two extents differ and neither is 1.
pub(super) fn broadcast_shape(a: &Shape, b: &Shape) -> Option<Shape> {
    let extent = |s: &Shape, back: usize| s.rank().checked_sub(back).map_or(1, |axis| s[axis]);
    let pairs = (1..=a.rank().max(b.rank())).rev().map(|back| (extent(a, back), extent(b, back)));
    let dims = pairs.map(|(a, b)| match (a, b) {
        (a, b) if a == b => Some(a),
        (1, d) | (d, 1) => Some(d),
        _ => None,
    });
    dims.collect::<Option<Vec<_>>>().map(Shape::from)
}

/// Where row `row` of a value of shape `to` starts in one of shape `from` that is broadcast to it. Rows run along the last dimension.
pub(super) fn row_offset(mut row: usize, from: &Shape, to: &Shape) -> usize {
    let mut stride = from.rows_cols().1;
    let mut offset = 0;
    for (&from, &to) in from.iter().rev().zip(to.iter().rev()).skip(1) {
        if from > 1 {
            offset += row % to * stride;
        }
        row /= to;
        stride *= from;
    }
    offset
}

/// `y = f(a, b)` for two values that are broadcast to each other; `f` gets runs of equal length.
pub(super) fn zip_broadcast(a: View<'_>, b: View<'_>, y: &mut [f32], f: fn(&[f32], &[f32], &mut [f32])) {
    if a.shape == b.shape {
        return f(a.data, b.data, y);
    }
    let Some(shape) = broadcast_shape(a.shape, b.shape) else {
        return debug_assert!(false, "inferred shapes fit");
    };
    let cols = shape.rows_cols().1;
    for (row, y) in y.chunks_exact_mut(cols).enumerate() {
        let a_row = &a.data[row_offset(row, a.shape, &shape)..];
        let b_row = &b.data[row_offset(row, b.shape, &shape)..];
        let is_whole = |s: &Shape| s.last() == Some(&cols);
        if is_whole(a.shape) && is_whole(b.shape) {
            f(&a_row[..cols], &b_row[..cols], y);
        } else if is_whole(a.shape) {
            a_row.iter().zip(y).for_each(|(a, y)| f(&[*a], &b_row[..1], std::slice::from_mut(y)));
        } else {
            b_row.iter().zip(y).for_each(|(b, y)| f(&a_row[..1], &[*b], std::slice::from_mut(y)));
        }
    }
}
