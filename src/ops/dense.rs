use std::sync::Arc;

#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels::{self as cpu, Epilogue, GEMV_ROWS, PackedB};
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{Clamp, CpuContext, GpuContext, GpuView, MatMul, Operator, Prepared, SumLike, View};
use crate::error::{Error, OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::{self, Gemm, Kernel, WORKGROUP, Work};
use crate::tensor::TensorType;

/// `y = x·w + b`. Inputs: `x` of `[m, k]`, `w` of `[k, n]`, then `b` of `[n]` if `bias`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    /// Whether the third input is added per column.
    pub bias: bool,
    /// Interval the result is clamped to (fused by a rewrite).
    pub clamp: Option<Clamp>,
}

/// Weights from which a few rows are as fast to multiply unpacked: beyond the caches, memory sets the pace. VGG-16's 411 MB are
/// then held once.
const STREAMED: usize = 4 << 20;

/// Whether constant weights are read as they are.
fn streams(x: &[&TensorType]) -> bool {
    x[0].shape[0] <= GEMV_ROWS && x[1].shape.len() >= STREAMED
}

/// From this many rows on, the tiles of a matrix product are full.
const MATRIX_ROWS: usize = 3;

/// Most invocations that share a unit of columns in `dense.wgsl`.
const SLICES: usize = 8;

/// How `dense.wgsl` reads weights.
const WHOLE: &str = "
@group(0) @binding(1) var<storage, read> w: array<T>;
fn weight(i: u32) -> T { return w[i]; }
";
/// The same of 16-bit floats, four at a time.
const HALVES: &str = "
@group(0) @binding(1) var<storage, read> w: array<vec2<u32>>;
fn weight(i: u32) -> T { return T(unpack2x16float(w[i].x), unpack2x16float(w[i].y)); }
";

impl Dense {
    /// Row by row: each workgroup computes a few columns, its invocations share `k`.
    fn encode_rows(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let (m, k, n) = (x[0].shape[0], x[1].shape[0], x[1].shape[1]);
        let (kind, unit) = wgsl::unit(n);
        let columns = n / unit;
        let slices = wgsl::sharing(cx.limits().lanes, m * columns, SLICES);
        let at_once = WORKGROUP as usize / slices;
        let tiles = columns.div_ceil(at_once);
        // What is bound for its place alone is not read.
        let whole = [x[1].region; 2];
        let (weights, [w, factors]) = match x[1].halves().filter(|_| unit == 4) {
            Some(halves) => (HALVES, halves),
            None => (WHOLE, whole),
        };
        let kernel = Kernel::new([kind, weights, include_str!("dense.wgsl"), wgsl::shares(slices)].concat())
            .with("HALVES", f64::from(u8::from(weights == HALVES)))
            .with("COLUMNS", at_once as f64)
            .with("BIAS", f64::from(u8::from(self.bias)))
            .with_bounds(self.clamp.map_or((f32::NEG_INFINITY, f32::INFINITY), Clamp::bounds));
        let bias = if self.bias { x[2].region } else { w };
        let params = [m, k, columns, tiles].map(|v| v as u32);
        let macs = (m * k * n) as u64;
        // Each row of the result loads the whole matrix, and an invocation its element of `x` for a unit of columns.
        let work = Work { macs, loads: macs + macs / unit as u64 };
        cx.dispatch(&kernel, &[x[0].region, w, bias, factors], &[y.region], &params, (m * tiles) as u64, work)
    }
}

impl Operator for Dense {
    const NAME: &'static str = "dense";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2 + usize::from(self.bias))?;
        ensure_op!(x[0].shape.rank() == 2, "takes rows of features [m, k], not {}", x[0].shape);
        ensure_op!(x[1].shape.rank() == 2, "the matrix has 2 dimensions [k, n], not {}", x[1].shape);
        let (m, k, n) = (x[0].shape[0], x[0].shape[1], x[1].shape[1]);
        ensure_op!(x[1].shape[0] == k, "the matrix takes {} features, the input has {k}", x[1].shape[0]);
        ensure_op!(!self.bias || *x[2].shape == [n], "the bias does not have {n} elements");
        Ok(TensorType::f32([m, n]))
    }

    fn prepare(&self, x: &[&TensorType], values: &[Option<&[f32]>]) -> Prepared {
        match values[1] {
            Some(w) if !streams(x) => Prepared::Matrix(Arc::new(PackedB::pack(x[1].shape[0], x[1].shape[1], w))),
            _ => Prepared::None,
        }
    }

    fn prepared_len(&self, x: &[&TensorType]) -> Option<usize> {
        (!streams(x)).then(|| PackedB::len(x[1].shape[0], x[1].shape[1]))
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let (m, k, n) = (x[0].shape[0], x[1].shape[0], x[1].shape[1]);
        let epilogue =
            Epilogue { bias: self.bias.then(|| x[2].data), residual: None, clamp: self.clamp.map(Clamp::bounds) };
        if m <= GEMV_ROWS && !cx.fixed {
            cpu::gemv(m, x[0].data, n, x[1].data, y, epilogue);
            return;
        }
        match &mut *cx.prepared {
            Prepared::Matrix(_) if cx.fixed => {}
            Prepared::Matrix(b) => Arc::make_mut(b).repack(k, n, x[1].data),
            prepared => *prepared = Prepared::Matrix(Arc::new(PackedB::pack(k, n, x[1].data))),
        }
        if let Prepared::Matrix(w) = &*cx.prepared {
            cpu::gemm(m, x[0].data, w, y, epilogue);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let (m, k, n) = (x[0].shape[0], x[1].shape[0], x[1].shape[1]);
        if m < MATRIX_ROWS && cx.parts(&x[1])?.len() == 1 {
            return self.encode_rows(cx, x, y);
        }
        let gemm = Gemm {
            bias: self.bias,
            clamp: self.clamp.map(Clamp::bounds),
            ..Gemm::dense(cx.limits().tiling(), m, k, n)
        };
        let rest: Vec<_> = x.iter().skip(2).map(|x| x.region).collect();
        let part = |x_first, k| Gemm { x_first, k, ..gemm.clone() };
        cx.gemm_in_parts(&gemm, [&x[0], &x[1]], &rest, y.region, part)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let vertex = g.get(v);
        if self.clamp.is_some() {
            let vertex = Some(vertex.name.clone());
            return Err(Error::Internal { vertex, reason: "gradients are taken before fusion".into() });
        }
        let inputs = vertex.inputs.clone();
        let dx = g.add_for(v, "dx", MatMul { trans_a: false, trans_b: true }, &[dy, inputs[1]])?;
        let dw = g.add_for(v, "dw", MatMul { trans_a: true, trans_b: false }, &[inputs[0], dy])?;
        let mut gradients = vec![Some(dx), Some(dw)];
        if self.bias {
            gradients.push(Some(g.add_for(v, "db", SumLike, &[dy, inputs[2]])?));
        }
        Ok(gradients)
    }

    fn macs(&self, x: &[&TensorType], y: &TensorType) -> u64 {
        y.shape.len() as u64 * x[1].shape[0] as u64
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let dense = |bias, clamp| Self { bias, clamp };
        vec![
            Case::new(dense(false, None), [&[1, 1], &[1, 1]]),
            Case::new(dense(true, None), [&[1, 37], &[37, 11], &[11]]),
            Case::new(dense(true, None), [&[13, 64], &[64, 16], &[16]]),
            Case::new(dense(true, Some(Clamp::RELU)), [&[7, 29], &[29, 5], &[5]]),
            Case::new(dense(true, Some(Clamp::RELU)), [&[67, 36], &[36, 84], &[84]]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (low, high) = self.clamp.map_or((f32::NEG_INFINITY, f32::INFINITY), Clamp::bounds);
        let k = x[1].shape()[0];
        ArrayD::from_shape_fn(vec![x[0].shape()[0], x[1].shape()[1]], |at| {
            let bias = if self.bias { x[2][[at[1]]] } else { 0.0 };
            let sum: f64 = (0..k).map(|k| x[0][[at[0], k]] * x[1][[k, at[1]]]).sum();
            (sum + bias).clamp(f64::from(low), f64::from(high))
        })
    }
}
