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

/// AdaDelta: `s' = ρ·s + (1 − ρ)·dw²`, `d = dw·√(u + ε) / √(s' + ε)`, `u' = ρ·u + (1 − ρ)·d²`, `w' = w − rate·d`
/// (Zeiler 2012, algorithm 1, whose rate is 1; Keras `Adadelta`, DL4J `AdaDelta`).
///
/// Inputs: `w`, `s` and `u`, updated in place, `dw`, and `[rate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdaDelta {
    /// ρ, decay of both mean squares, `0 ≤ ρ < 1`.
    pub rho: f32,
    /// ε, above 0.
    pub epsilon: f32,
}

impl Operator for AdaDelta {
    const NAME: &'static str = "adadelta";
    const UPDATES: usize = 3;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_decays(&[self.rho], self.epsilon)?;
        expect_update(x, 5, 1)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        if let ([w, s, u], [rate]) = (state, x[1].data) {
            cpu::adadelta(w, s, u, x[0].data, *rate, self.rho, self.epsilon);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::update(include_str!("adadelta.wgsl"));
        cx.map(
            &kernel,
            &[x[3].region, x[4].region],
            &[x[0].region, x[1].region, x[2].region],
            [self.rho, self.epsilon, 0.0],
        )
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |rho, epsilon, shape| {
            let case = Case::new(Self { rho, epsilon }, [shape, shape, shape, shape, &[1]]);
            case.range(1, 0.0, 1.0).range(2, 0.0, 1.0).range(4, 0.1, 1.0)
        };
        vec![case(0.95, 1e-6, &[1]), case(0.95, 1e-7, &[5, 7]), case(0.0, 0.1, &[3, 3, 4, 8])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let [rho, epsilon] = [self.rho, self.epsilon].map(f64::from);
        let s = &x[1] * rho + x[3].mapv(|d| d * d) * (1.0 - rho);
        let d = &x[3] * (&x[2] + epsilon).mapv(f64::sqrt) / (s + epsilon).mapv(f64::sqrt);
        &x[0] - d * x[4][0]
    }
}
