#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// Decoupled weight decay, run before an updater: `w' = w − rate·decay·w` (Loshchilov & Hutter 2019, in the form of PyTorch's and
/// Keras's AdamW and of DL4J's `WeightDecay` with `applyLR`).
///
/// Inputs: `w`, updated in place, and the scalars of an updater, of which the first is the rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightDecay {
    /// Share of a weight per unit of the rate, at least 0.
    pub decay: f32,
}

impl Operator for WeightDecay {
    const NAME: &'static str = "weight_decay";
    const UPDATES: usize = 1;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        ensure_op!(x[1].shape.rank() == 1, "the scalars are {}, not a row", x[1].shape);
        ensure_op!(self.decay >= 0.0, "the decay is {}, not at least 0", self.decay);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        if let ([w], [rate, ..]) = (state, x[0].data) {
            let kept = 1.0 - rate * self.decay;
            w.iter_mut().for_each(|w| *w *= kept);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::update(include_str!("weight_decay.wgsl"));
        // There is no gradient: what is bound in its place is not read.
        cx.map(&kernel, &[x[1].region, x[1].region], &[x[0].region], [self.decay, 0.0, 0.0])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |decay, shape, scalars: &[usize]| Case::new(Self { decay }, [shape, scalars]).range(1, 0.01, 1.0);
        vec![case(0.01, &[1], &[1]), case(0.5, &[5, 7], &[2]), case(0.0, &[3, 3, 4, 8], &[4])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        &x[0] - &x[0] * (x[1][0] * f64::from(self.decay))
    }
}
