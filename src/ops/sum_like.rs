#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::broadcast_like::{broadcast_shape, row_offset};
use super::scale_norm::encode_sum;
use super::{BroadcastLike, CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::{self, Region, Work};
use crate::tensor::TensorType;

/// Sums `x` over the dimensions in which `like` is broadcast to it: the gradient of broadcasting.
/// Inputs: `x`, and `like` for its shape, which is that of the value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SumLike;

/// Rows that an invocation sums up at most, where more of them would help.
const RUN: usize = 64;
/// Most runs of rows that a second dispatch sums up.
const RUNS: usize = 64;

/// `scale · factor · Σ term` over the rows of a matrix, for each column.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnSums {
    /// WGSL of `fn term(i: u32, column: u32) -> T` and `fn factor(column: u32) -> T`, with the bindings; see `columns.wgsl`.
    pub(super) term: &'static str,
    pub(super) scale: f32,
    /// For the term.
    pub(super) epsilon: f32,
}

impl ColumnSums {
    /// Sums of the elements themselves.
    pub(super) const PLAIN: Self = Self { term: include_str!("sum_rows.wgsl"), scale: 1.0, epsilon: 0.0 };

    /// Sums over `rows` rows of as many columns as `y` has elements; of very many rows, runs are summed first.
    pub(super) fn encode(self, cx: &mut GpuContext, x: &[Region], y: Region, rows: usize) -> Result<()> {
        let lanes = cx.limits().lanes;
        let slices = slices(lanes, y.len, rows).0;
        let parts = (rows / (RUN * slices)).min(lanes as usize / (units(y.len) * slices)).clamp(1, RUNS);
        if parts == 1 {
            return self.encode_runs(cx, x, y, y.len, rows, rows);
        }
        let run = rows.div_ceil(parts);
        let parts = rows.div_ceil(run);
        let sums = cx.scratch(parts * y.len);
        Self { scale: 1.0, ..self }.encode_runs(cx, x, sums, y.len, rows, run)?;
        Self { term: Self::PLAIN.term, ..self }.encode_runs(cx, &[sums], y, y.len, parts, parts)
    }

    /// Sums each column over `run` of the rows at a time, each run into a row of `y`.
    fn encode_runs(
        self,
        cx: &mut GpuContext,
        x: &[Region],
        y: Region,
        columns: usize,
        rows: usize,
        run: usize,
    ) -> Result<()> {
        let (kind, width) = wgsl::unit(columns);
        let (slices, tile) = slices(cx.limits().lanes, columns, run);
        let kernel = wgsl::columns(kind, self.term, slices * tile, tile);
        let (parts, tiles) = (y.len / columns, (columns / width).div_ceil(tile));
        let counts = [parts, tiles, columns / width, rows, run].map(|v| v as u32);
        let params: Vec<u32> = counts.into_iter().chain([self.scale, self.epsilon].map(f32::to_bits)).collect();
        cx.dispatch(&kernel, x, &[y], &params, (parts * tiles) as u64, Work::default())
    }
}

fn units(columns: usize) -> usize {
    columns / wgsl::unit(columns).1
}

/// Invocations that share the rows of a run, and units of columns of a workgroup.
fn slices(lanes: u64, columns: usize, run: usize) -> (usize, usize) {
    let units = units(columns);
    let tile = units.next_power_of_two().min(16);
    let most = match run {
        // Too few rows to share.
        0..16 => 1,
        16..128 => 64 / tile,
        _ => 256 / tile,
    };
    match wgsl::sharing(lanes, units, most) {
        1 => (1, 64),
        slices => (slices, tile),
    }
}

/// Sums each column of a matrix over `run` of its rows at a time, each run into a row of `y`.
pub(super) fn encode_sum_runs(
    cx: &mut GpuContext,
    x: Region,
    y: Region,
    columns: usize,
    rows: usize,
    run: usize,
) -> Result<()> {
    ColumnSums::PLAIN.encode_runs(cx, &[x], y, columns, rows, run)
}

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

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let (from, to) = (x[0].shape, y.shape);
        let kept = to.iter().skip_while(|&&d| d == 1).count();
        if kept == 0 {
            return encode_sum(false, cx, x[0].region, y.region);
        }
        if from[from.rank() - kept..] == to[to.rank() - kept..] {
            return ColumnSums::PLAIN.encode(cx, &[x[0].region], y.region, from.len() / to.len());
        }
        let missing = from.rank() - to.rank();
        let stays = |d: usize| d >= missing && to[d - missing] == from[d];
        let dim = |d: usize| {
            let stride = from[d + 1..].iter().product::<usize>();
            if stays(d) { [from[d], stride, 0] } else { [from[d], 0, stride] }
        };
        let dims = wgsl::joined((0..from.rank()).map(dim).collect());
        let (kept, summed): (Vec<[usize; 3]>, Vec<_>) = dims.iter().rev().copied().partition(|d| d[1] > 0);
        if dims.len() > wgsl::RANK {
            return Err(cx.no_kernel::<Self>());
        }
        let mut words = vec![kept.len() as u32, summed.len() as u32, 0, 0];
        let padded = kept.iter().chain(&summed).map(|d| [d[0], d[1] + d[2]]).chain(std::iter::repeat([1, 0]));
        words.extend(padded.take(wgsl::RANK).flat_map(|[extent, stride]| [extent as u32, stride as u32, 0, 0]));
        let along = from.len() / to.len();
        let kernel = wgsl::rows(include_str!("sum_like.wgsl"), along);
        cx.rows(&kernel, &[x[0].region], &[y.region], [to.len(), along], &words)
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
