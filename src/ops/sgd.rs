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

/// Gradient descent: `w' = w − rate · dw`. Inputs: `w`, updated in place, `dw`, and `[rate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sgd;

/// Checks the inputs of an updater: `w`, its state, `dw`, all of one shape, then `scalars` numbers.
pub(super) fn expect_update(x: &[&TensorType], count: usize, scalars: usize) -> Result<TensorType, OpError> {
    expect_f32(x, count)?;
    let w = &x[0].shape;
    let other = x[1..count - 1].iter().find(|t| t.shape != *w);
    ensure_op!(other.is_none(), "weights, state and gradient differ in shape");
    let last = &x[count - 1].shape;
    ensure_op!(last[..] == [scalars], "the last input is {last}, not [{scalars}]");
    Ok(x[0].clone())
}

/// Checks decays and the ε of an updater.
pub(super) fn expect_decays(decays: &[f32], epsilon: f32) -> Result<(), OpError> {
    ensure_op!(decays.iter().all(|d| (0.0..1.0).contains(d)), "the decays {decays:?} lie outside 0 ≤ decay < 1");
    ensure_op!(epsilon > 0.0, "ε is {epsilon}, not above 0");
    Ok(())
}

impl Operator for Sgd {
    const NAME: &'static str = "sgd";
    const UPDATES: usize = 1;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_update(x, 3, 1)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        if let ([w], [rate]) = (state, x[1].data) {
            cpu::sgd(w, x[0].data, *rate);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::update(include_str!("sgd.wgsl"));
        cx.map(&kernel, &[x[1].region, x[2].region], &[x[0].region], [0.0; 3])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |shape| Case::new(Self, [shape, shape, &[1]]).range(2, 0.01, 1.0);
        vec![case(&[1]), case(&[5, 7]), case(&[3, 3, 4, 8])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        &x[0] - &x[1] * x[2][0]
    }
}
