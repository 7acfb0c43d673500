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

/// RMSProp: `s' = ρ·s + (1 − ρ)·dw²`, `w' = w − rate·dw / √(s' + ε)` (Tieleman & Hinton 2012, lecture 6.5, with the ε of Keras
/// `RMSprop`; DL4J adds it to the root).
///
/// Inputs: `w` and `s`, updated in place, `dw`, and `[rate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RmsProp {
    /// ρ, decay of the mean square, `0 ≤ ρ < 1`.
    pub decay: f32,
    /// ε, above 0.
    pub epsilon: f32,
}

impl Operator for RmsProp {
    const NAME: &'static str = "rmsprop";
    const UPDATES: usize = 2;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_decays(&[self.decay], self.epsilon)?;
        expect_update(x, 4, 1)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        if let ([w, s], [rate]) = (state, x[1].data) {
            cpu::rmsprop(w, s, x[0].data, *rate, self.decay, self.epsilon);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::update(include_str!("rmsprop.wgsl"));
        cx.map(&kernel, &[x[2].region, x[3].region], &[x[0].region, x[1].region], [self.decay, self.epsilon, 0.0])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |decay, epsilon, shape| {
            let case = Case::new(Self { decay, epsilon }, [shape, shape, shape, &[1]]);
            case.range(1, 0.0, 1.0).range(3, 0.01, 0.3)
        };
        vec![case(0.95, 1e-8, &[1]), case(0.9, 1e-7, &[5, 7]), case(0.0, 0.1, &[3, 3, 4, 8])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let rho = f64::from(self.decay);
        let s = &x[1] * rho + x[2].mapv(|d| d * d) * (1.0 - rho);
        &x[0] - &x[2] / (s + f64::from(self.epsilon)).mapv(f64::sqrt) * x[3][0]
    }
}
