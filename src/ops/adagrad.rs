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

/// AdaGrad: `s' = s + dw²`, `w' = w − rate·dw / (√s' + ε)` (Duchi et al. 2011, with ε and the first `s = ε` of DL4J's `AdaGrad`; Keras
/// starts at 0.1 and has ε under the root).
///
/// Inputs: `w` and `s`, updated in place, `dw`, and `[rate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdaGrad {
    /// ε, above 0.
    pub epsilon: f32,
}

impl Operator for AdaGrad {
    const NAME: &'static str = "adagrad";
    const UPDATES: usize = 2;

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_decays(&[], self.epsilon)?;
        expect_update(x, 4, 1)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

    fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
        if let ([w, s], [rate]) = (state, x[1].data) {
            cpu::adagrad(w, s, x[0].data, *rate, self.epsilon);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], _: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::update(include_str!("adagrad.wgsl"));
        cx.map(&kernel, &[x[2].region, x[3].region], &[x[0].region, x[1].region], [self.epsilon, 0.0, 0.0])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |epsilon, shape| {
            let case = Case::new(Self { epsilon }, [shape, shape, shape, &[1]]);
            case.range(1, 0.0, 1.0).range(3, 0.01, 1.0)
        };
        vec![case(1e-6, &[1]), case(1e-6, &[5, 7]), case(0.1, &[3, 3, 4, 8])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let s = &x[1] + x[2].mapv(|d| d * d);
        &x[0] - &x[2] / (s.mapv(f64::sqrt) + f64::from(self.epsilon)) * x[3][0]
    }
}
