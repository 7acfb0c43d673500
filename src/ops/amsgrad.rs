#[cfg(any(test, feature = "conformance"))]
use ndarray::{ArrayD, Zip};
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::sgd::{expect_decays, expect_update};
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// AMSGrad: as [`super::Adam`], but divided by the largest mean square so far: `s' = max(s, v')`, `w' = w − rate·c·m' / (√s' + ε)`
/// (Reddi et al. 2018, algorithm 2, with the bias correction of Keras `Adam(amsgrad=True)` and DL4J `AMSGrad`).
///
/// Inputs: `w`, `m`, `v` and `s`, updated in place, `dw`, and `[rate, c]` with `c = √(1 − β₂ᵗ) / (1 − β₁ᵗ)` in step `t`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AmsGrad {
    /// β₁, decay of the mean, `0 ≤ β₁ < 1`.
    pub beta1: f32,
    /// β₂, decay of the mean square, `0 ≤ β₂ < 1`.
    pub beta2: f32,
    /// ε, above 0.
    pub epsilon: f32,
}

impl Operator for AmsGrad {
    const NAME: &'static str = "amsgrad";
    const UPDATES: usize = 4;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_decays(&[self.beta1, self.beta2], self.epsilon)?;
        expect_update(x, 6, 2)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        if let ([w, m, v, largest], [rate, correction]) = (state, x[1].data) {
            cpu::amsgrad(w, m, v, largest, x[0].data, rate * correction, self.beta1, self.beta2, self.epsilon);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::update(include_str!("amsgrad.wgsl"));
        cx.map(
            &kernel,
            &[x[4].region, x[5].region],
            &[x[0].region, x[1].region, x[2].region, x[3].region],
            [self.beta1, self.beta2, self.epsilon],
        )
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |beta1, beta2, epsilon, shape| {
            let case = Case::new(Self { beta1, beta2, epsilon }, [shape, shape, shape, shape, shape, &[2]]);
            case.range(2, 0.0, 1.0).range(3, 0.0, 1.0).range(5, 0.03, 0.3)
        };
        vec![case(0.9, 0.999, 1e-8, &[1]), case(0.9, 0.999, 1e-7, &[5, 7]), case(0.0, 0.5, 1e-2, &[3, 3, 4, 8])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let [b1, b2, epsilon] = [self.beta1, self.beta2, self.epsilon].map(f64::from);
        let m = &x[1] * b1 + &x[4] * (1.0 - b1);
        let v = &x[2] * b2 + x[4].mapv(|d| d * d) * (1.0 - b2);
        let s = Zip::from(&v).and(&x[3]).map_collect(|v, s| v.max(*s));
        &x[0] - m / (s.mapv(f64::sqrt) + epsilon) * x[5].product()
    }
}
