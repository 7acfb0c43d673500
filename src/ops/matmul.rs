#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels::{self as cpu, MatMulDims};
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::conv2d::encode_weight_grad;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::{self, Gemm, WeightGrad};
use crate::tensor::{Shape, TensorType};

/// `op(a) · op(b)` of two matrices, where `op` transposes on request (BLAS `sgemm`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatMul {
    /// `a` is stored as `[k, m]`, not `[m, k]`.
    pub trans_a: bool,
    /// `b` is stored as `[n, k]`, not `[k, n]`.
    pub trans_b: bool,
}

impl MatMul {
    fn dims(&self, a: &Shape, b: &Shape) -> MatMulDims {
        let (m, k) = if self.trans_a { (a[1], a[0]) } else { (a[0], a[1]) };
        let n = if self.trans_b { b[0] } else { b[1] };
        MatMulDims { m, k, n, trans_a: self.trans_a, trans_b: self.trans_b }
    }
}

impl Operator for MatMul {
    const NAME: &'static str = "matmul";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        let (a, b) = (&x[0].shape, &x[1].shape);
        ensure_op!(a.rank() == 2 && b.rank() == 2, "takes two matrices, not {a} and {b}");
        let dims = self.dims(a, b);
        let rows = b[usize::from(self.trans_b)];
        ensure_op!(dims.k == rows, "the left matrix has {} columns, the right one {rows} rows", dims.k);
        Ok(TensorType::f32([dims.m, dims.n]))
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        cpu::matmul(self.dims(x[0].shape, x[1].shape), x[0].data, x[1].data, y, false, cx.scratch);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let MatMulDims { m, k, n, .. } = self.dims(x[0].shape, x[1].shape);
        let (a, b) = (x[0].region, x[1].region);
        if self.trans_a && !self.trans_b {
            let grad = WeightGrad { rows: k, k: m, n, groups: 1, window: None, tiling: cx.limits().tiling() };
            return encode_weight_grad(cx, &grad, [a, b], y.region);
        }
        let tiling = cx.limits().tiling();
        let gemm = |rows, n| Gemm { transposed: self.trans_b && !self.trans_a, ..Gemm::dense(tiling, rows, k, n) };
        if !self.trans_a {
            return cx.gemm(&gemm(m, n), &[a, b], y.region);
        }
        // aᵀ·bᵀ is the transpose of b·a.
        let turned = cx.scratch(m * n);
        cx.gemm(&gemm(n, m), &[b, a], turned)?;
        let strided = wgsl::gather(&[(m, 1), (n, m)], 0).ok_or_else(|| cx.no_kernel::<Self>())?;
        cx.strided(&strided, &[turned], y.region)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let (a, b) = (g.get(v).inputs[0], g.get(v).inputs[1]);
        let Self { trans_a, trans_b } = *self;
        // d op(a) = dy · op(b)ᵀ and d op(b) = op(a)ᵀ · dy, transposed as a whole where a or b is.
        let da = match trans_a {
            false => g.add_for(v, "da", Self { trans_a: false, trans_b: !trans_b }, &[dy, b])?,
            true => g.add_for(v, "da", Self { trans_a: trans_b, trans_b: true }, &[b, dy])?,
        };
        let db = match trans_b {
            false => g.add_for(v, "db", Self { trans_a: !trans_a, trans_b: false }, &[a, dy])?,
            true => g.add_for(v, "db", Self { trans_a: true, trans_b: trans_a }, &[dy, a])?,
        };
        Ok(vec![Some(da), Some(db)])
    }

    fn macs(&self, x: &[&TensorType], y: &TensorType) -> u64 {
        y.shape.len() as u64 * x[0].shape[usize::from(!self.trans_a)] as u64
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |trans_a, trans_b, a, b| Case::new(Self { trans_a, trans_b }, [a, b]);
        vec![
            case(false, false, &[1, 1], &[1, 1]),
            case(false, false, &[7, 33], &[33, 13]),
            case(true, false, &[33, 7], &[33, 13]),
            case(false, true, &[7, 33], &[13, 33]),
            case(true, true, &[33, 7], &[13, 33]),
            case(true, false, &[5, 64], &[5, 16]),
            case(false, true, &[1, 10], &[37, 10]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let a = |i: usize, k: usize| if self.trans_a { x[0][[k, i]] } else { x[0][[i, k]] };
        let b = |k: usize, j: usize| if self.trans_b { x[1][[j, k]] } else { x[1][[k, j]] };
        let (m, k) = (x[0].shape()[usize::from(self.trans_a)], x[0].shape()[usize::from(!self.trans_a)]);
        let n = x[1].shape()[usize::from(!self.trans_b)];
        ArrayD::from_shape_fn(vec![m, n], |at| (0..k).map(|k| a(at[0], k) * b(k, at[1])).sum())
    }
}
