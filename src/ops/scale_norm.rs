#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::kernels::wgsl::{self, Kernel, Region};
use crate::tensor::{Shape, TensorType};

/// `Σ x²`, as `[1]`: the squared Euclidean norm. Summed in f64, so that large tensors lose nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SumSquares;

impl Operator for SumSquares {
    const NAME: &'static str = "sum_squares";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        Ok(TensorType::f32([1]))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        y.fill(cpu::squared_norm(x[0].data) as f32);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        encode_sum(true, cx, x[0].region, y.region)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        vec![
            Case::new(Self, [&[1]]),
            Case::new(Self, [&[5, 7]]),
            Case::new(Self, [&[3, 3, 4, 8]]),
            Case::new(Self, [&[33, 601]]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        ArrayD::from_elem(vec![1], x[0].mapv(|x| x * x).sum())
    }
}

/// Elements that one workgroup sums up before a second dispatch sums up the workgroups.
const ELEMENTS: usize = 1 << 14;

/// `Σ x²` or `Σ x` into the only element of `y`.
pub(super) fn encode_sum(squares: bool, cx: &mut GpuContext, x: Region, y: Region) -> Result<()> {
    let text = include_str!("sum_squares.wgsl");
    let kernel = |along, squares| wgsl::rows(text, along).with("SQUARES", f64::from(u8::from(squares)));
    let groups = x.len.div_ceil(ELEMENTS).min(256);
    if groups == 1 {
        return cx.rows(&kernel(x.len, squares), &[x], &[y], [1, x.len], &[]);
    }
    let sums = cx.scratch(groups);
    cx.rows(&kernel(x.len, squares), &[x], &[sums], [groups, x.len], &[])?;
    cx.rows(&kernel(groups, false), &[sums], &[y], [1, groups], &[])
}

/// Brings gradients to a norm. Inputs: `dw`, and `[s]`, the squared norm of all gradients that are scaled alike.
///
/// With a limit: `dw · min(1, limit / √s)`, clipping (Pascanu et al. 2013, algorithm 1; DL4J `ClipL2…`). Without: `dw / √s`,
/// and `dw / 1e-5` where `s` is 0 (DL4J `RenormalizeL2…`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScaleNorm {
    /// Largest norm, above 0.
    pub limit: Option<f32>,
}

/// What DL4J divides by where the norm is 0.
const INSTEAD_OF_ZERO: f32 = 1e-5;

impl Operator for ScaleNorm {
    const NAME: &'static str = "scale_norm";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        ensure_op!(x[1].shape == Shape::from([1]), "the squared norm is {}, not [1]", x[1].shape);
        ensure_op!(self.limit.is_none_or(|l| l > 0.0), "the limit is {:?}, not above 0", self.limit);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let norm = x[1].data.first().copied().unwrap_or_default().sqrt();
        let factor = match self.limit {
            Some(limit) if norm > limit => limit / norm,
            Some(_) => 1.0,
            None if norm == 0.0 => 1.0 / INSTEAD_OF_ZERO,
            None => 1.0 / norm,
        };
        cpu::scale(x[0].data, factor, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let kernel = Kernel::new(include_str!("scale_norm.wgsl"))
            .with("CLIPS", f64::from(u8::from(self.limit.is_some())))
            .with("INSTEAD", f64::from(INSTEAD_OF_ZERO));
        let numbers = [self.limit.unwrap_or_default(), 0.0, 0.0];
        cx.map(&kernel, &[x[0].region, x[1].region], &[y.region], numbers)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |limit, shape| Case::new(Self { limit }, [shape, &[1]]).range(1, 0.1, 9.0);
        vec![
            case(None, &[1]),
            case(None, &[5, 7]),
            case(None, &[5]).range(1, 0.0, 0.0).range(0, 0.0, 0.0),
            case(Some(1.0), &[3, 3, 4, 8]),
            case(Some(10.0), &[37]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let norm = x[1][0].sqrt();
        let wanted = self.limit.map_or(1.0, |limit| norm.min(f64::from(limit)));
        &x[0] * (wanted / norm.max(1e-5))
    }
}
