#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::sgd::{expect_decays, expect_update};
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// Nadam, Adam with Nesterov momentum: `m' = β₁·m + (1 − β₁)·dw`, `v' = β₂·v + (1 − β₂)·dw²`,
/// `w' = w − rate · (a·m' + b·dw) / (√(c·v') + ε)` (Dozat 2016, algorithm 2 with the momentum schedule of its section 3.1; Keras `Nadam`.
/// DL4J leaves out the schedule and the correction of `v`).
///
/// Inputs: `w`, `m` and `v`, updated in place, `dw`, and `[rate, a, b, c]`: with `μₜ = β₁·(1 − 0.5·0.96ᵗ)` and their product `πₜ`,
/// `a = μₜ₊₁ / (1 − πₜ₊₁)`, `b = (1 − μₜ) / (1 − πₜ)`, `c = 1 / (1 − β₂ᵗ)` in step `t`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nadam {
    /// β₁, decay of the mean, `0 ≤ β₁ < 1`.
    pub beta1: f32,
    /// β₂, decay of the mean square, `0 ≤ β₂ < 1`.
    pub beta2: f32,
    /// ε, above 0.
    pub epsilon: f32,
}

impl Operator for Nadam {
    const NAME: &'static str = "nadam";
    const UPDATES: usize = 3;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_decays(&[self.beta1, self.beta2], self.epsilon)?;
        expect_update(x, 5, 4)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        if let ([w, m, v], [rate, of_m, of_dw, of_v]) = (state, x[1].data) {
            let step = [rate * of_m, rate * of_dw, *of_v];
            cpu::nadam(w, m, v, x[0].data, step, self.beta1, self.beta2, self.epsilon);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::update(include_str!("nadam.wgsl"));
        cx.map(
            &kernel,
            &[x[3].region, x[4].region],
            &[x[0].region, x[1].region, x[2].region],
            [self.beta1, self.beta2, self.epsilon],
        )
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |beta1, beta2, epsilon, shape| {
            let case = Case::new(Self { beta1, beta2, epsilon }, [shape, shape, shape, shape, &[4]]);
            case.range(2, 0.0, 1.0).range(4, 0.1, 1.0)
        };
        vec![case(0.9, 0.999, 1e-8, &[1]), case(0.9, 0.999, 1e-7, &[5, 7]), case(0.0, 0.5, 1e-2, &[3, 3, 4, 8])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let [b1, b2, epsilon] = [self.beta1, self.beta2, self.epsilon].map(f64::from);
        let (dw, s) = (&x[3], &x[4]);
        let m = &x[1] * b1 + dw * (1.0 - b1);
        let v = &x[2] * b2 + dw.mapv(|d| d * d) * (1.0 - b2);
        &x[0] - (m * s[1] + dw * s[2]) / ((v * s[3]).mapv(f64::sqrt) + epsilon) * s[0]
    }
}
