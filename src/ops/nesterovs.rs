#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::sgd::expect_update;
use super::{CpuContext, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::kernels::cpu;
use crate::tensor::TensorType;

/// Nesterov's accelerated gradient: `v' = μ·v − rate·dw`, `w' = w + μ·v' − rate·dw`
/// (Sutskever et al. 2013 in the form of Bengio et al. 2012, section 3.5; Keras `SGD(nesterov=True)`, DL4J `Nesterovs`).
///
/// Inputs: `w` and `v`, updated in place, `dw`, and `rate` of one element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nesterovs {
    /// μ, `0 ≤ μ < 1`.
    pub momentum: f32,
}

impl Operator for Nesterovs {
    const NAME: &'static str = "nesterovs";
    const UPDATES: usize = 2;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        ensure_op!((0.0..1.0).contains(&self.momentum), "the momentum {} lies outside 0 ≤ μ < 1", self.momentum);
        expect_update(x, 4)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        if let [w, v] = state {
            cpu::nesterovs(w, v, x[0].data, x[1].data[0], self.momentum);
        }
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |momentum, shape| Case::new(Self { momentum }, [shape, shape, shape, &[1]]).range(3, 0.01, 1.0);
        vec![case(0.9, &[1]), case(0.5, &[5, 7]), case(0.0, &[3, 3, 4, 8])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (mu, step) = (f64::from(self.momentum), &x[2] * x[3].sum());
        let v = &x[1] * mu - &step;
        &x[0] + v * mu - step
    }
}
