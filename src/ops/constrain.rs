#[cfg(any(test, feature = "conformance"))]
use ndarray::{ArrayD, Axis};
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::kernels::wgsl::{self, Kernel};
use crate::tensor::TensorType;

/// Projects weights after an update, so that those into one unit have a wanted norm (Keras `MinMaxNorm`; its `MaxNorm` is `min` 0,
/// its `UnitNorm` `min` and `max` 1): norm `n` becomes `rate · min(max(n, min), max) + (1 − rate) · n`, divided by `n + 1e-7`.
///
/// Input: `w`, updated in place, with one column for each unit: `[k, n]` of a dense layer, `[kh, kw, c, m]` of a
/// convolution, `[kh, kw, c]` of a depthwise one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConstrainNorm {
    /// Number of units; 1 for the norm of all elements.
    pub units: usize,
    /// Smallest norm, at least 0.
    pub min: f32,
    /// Largest norm, at least `min`.
    pub max: f32,
    /// Share of the way to the wanted norm, in `0..=1`.
    pub rate: f32,
}

/// Keeps the division defined where all weights are 0.
const EPSILON: f32 = 1e-7;

impl Operator for ConstrainNorm {
    const NAME: &'static str = "constrain_norm";
    const UPDATES: usize = 1;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        ensure_op!(0.0 <= self.min && self.min <= self.max, "the norms {}..{} are empty", self.min, self.max);
        ensure_op!((0.0..=1.0).contains(&self.rate), "the rate {} lies outside 0..=1", self.rate);
        let len = x[0].shape.len();
        ensure_op!(
            self.units > 0 && len.is_multiple_of(self.units),
            "{} does not divide into {} units",
            x[0].shape,
            self.units
        );
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], _: &[View<'_>]) {
        let [w] = state else { return };
        let mut factors = vec![0.0; self.units];
        for row in w.chunks_exact(self.units) {
            factors.iter_mut().zip(row).for_each(|(sum, w)| *sum += w * w);
        }
        for factor in &mut factors {
            let norm = factor.sqrt();
            let wanted = self.rate * cpu::clamped(norm, self.min, self.max) + (1.0 - self.rate) * norm;
            *factor = wanted / (norm + EPSILON);
        }
        for row in w.chunks_exact_mut(self.units) {
            row.iter_mut().zip(&factors).for_each(|(w, factor)| *w *= factor);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let along = x[0].shape.len() / self.units;
        let kernel = wgsl::rows(include_str!("constrain_norm.wgsl"), along);
        let numbers = [self.min, self.max.min(f32::MAX), self.rate, EPSILON].map(f32::to_bits);
        cx.rows(&kernel, &[], &[x[0].region], [self.units, along], &numbers)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |units, [min, max, rate]: [f32; 3], shape| Case::new(Self { units, min, max, rate }, [shape]);
        vec![
            case(1, [0.0, 0.5, 1.0], &[1]),
            case(7, [0.0, 1.0, 1.0], &[5, 7]),
            case(8, [1.0, 1.0, 1.0], &[3, 3, 4, 8]),
            case(4, [2.0, 3.0, 0.25], &[3, 3, 4]),
            case(1, [1.0, 1.0, 1.0], &[37]),
            case(3, [0.5, 1.0, 1.0], &[2, 3]).range(0, 0.0, 0.0),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let [min, max, rate] = [self.min, self.max, self.rate].map(f64::from);
        let flat: ArrayD<f64> = ArrayD::from_shape_fn(vec![x[0].len() / self.units, self.units], |at| {
            x[0].iter().nth(at[0] * self.units + at[1]).copied().unwrap_or(f64::NAN)
        });
        let norm = flat.mapv(|w| w * w).sum_axis(Axis(0)).mapv(f64::sqrt);
        let factor = norm.mapv(|n| (rate * n.clamp(min, max) + (1.0 - rate) * n) / (n + 1e-7));
        let mut y = x[0].clone();
        y.iter_mut().zip(&(flat * factor)).for_each(|(y, w)| *y = *w);
        y
    }
}

/// `max(w, 0)` after an update (Keras `NonNeg`). Input: `w`, updated in place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConstrainSign;

impl Operator for ConstrainSign {
    const NAME: &'static str = "constrain_sign";
    const UPDATES: usize = 1;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], _: &[View<'_>]) {
        state.iter_mut().flat_map(|w| w.iter_mut()).for_each(|w| *w = cpu::clamped(*w, 0.0, f32::INFINITY));
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        cx.map(&Kernel::new(include_str!("constrain_sign.wgsl")), &[], &[x[0].region], [0.0; 3])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        vec![Case::new(Self, [&[1]]), Case::new(Self, [&[5, 7]])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        x[0].mapv(|w| if w > 0.0 { w } else { 0.0 })
    }
}
