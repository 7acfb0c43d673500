#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// Running statistics of a batch norm: `r' = m·r + (1 − m)·batch` (Ioffe & Szegedy 2015, section 3.1; Keras `BatchNormalization`).
///
/// Inputs: `r`, updated in place, and the batch's statistic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MovingAverage {
    /// Share of the old value that is kept, `0 ≤ m ≤ 1`.
    pub momentum: f32,
}

impl Operator for MovingAverage {
    const NAME: &'static str = "moving_average";
    const UPDATES: usize = 1;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        ensure_op!((0.0..=1.0).contains(&self.momentum), "the momentum {} lies outside 0 ≤ m ≤ 1", self.momentum);
        ensure_op!(x[0] == x[1], "the statistics {} and {} differ in shape", x[0].shape, x[1].shape);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        state.iter_mut().for_each(|r| cpu::moving_average(r, x[0].data, self.momentum));
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::update(include_str!("moving_average.wgsl"));
        // There are no scalars: what is bound in their place is not read.
        cx.map(&kernel, &[x[1].region, x[1].region], &[x[0].region], [self.momentum, 0.0, 0.0])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |momentum, shape| Case::new(Self { momentum }, [shape, shape]);
        vec![case(0.9, &[1]), case(0.0, &[7]), case(1.0, &[19])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let m = f64::from(self.momentum);
        &x[0] * m + &x[1] * (1.0 - m)
    }
}
