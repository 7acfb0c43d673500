#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::sgd::expect_update;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// Nesterov's accelerated gradient: `v' = μ·v − rate·dw`, `w' = w + μ·v' − rate·dw`
/// (Sutskever et al. 2013 in the form of Bengio et al. 2012, section 3.5; Keras `SGD(nesterov=True)`, DL4J `Nesterovs`).
///
/// Inputs: `w` and `v`, updated in place, `dw`, and `[rate, μ]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nesterovs;

impl Operator for Nesterovs {
    const NAME: &'static str = "nesterovs";
    const UPDATES: usize = 2;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_update(x, 4, 2)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        if let ([w, v], [rate, momentum]) = (state, x[1].data) {
            cpu::nesterovs(w, v, x[0].data, *rate, *momentum);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::update(include_str!("nesterovs.wgsl"));
        cx.map(&kernel, &[x[2].region, x[3].region], &[x[0].region, x[1].region], [0.0; 3])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |shape| Case::new(Self, [shape, shape, shape, &[2]]).range(3, 0.01, 1.0);
        vec![case(&[1]), case(&[5, 7]), case(&[3, 3, 4, 8])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (mu, step) = (x[3][1], &x[2] * x[3][0]);
        let v = &x[1] * mu - &step;
        &x[0] + v * mu - step
    }
}
