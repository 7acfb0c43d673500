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

/// Gradient with penalties on the weights: `dw + l1·sign(w) + l2·w`, the gradient of a loss plus `l1·Σ|w| + ½·l2·Σw²`
/// (DL4J's scores of L1 and L2; Keras's `L2(l)` is `l2 = 2·l`). The sign of 0 is 0. Inputs: `w`, `dw`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Penalize {
    /// Factor of the sum of magnitudes, at least 0.
    pub l1: f32,
    /// Factor of half the sum of squares, at least 0.
    pub l2: f32,
}

impl Operator for Penalize {
    const NAME: &'static str = "penalize";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        ensure_op!(x[0].shape == x[1].shape, "weights and gradient differ in shape");
        ensure_op!(self.l1 >= 0.0 && self.l2 >= 0.0, "penalties are {} and {}, not at least 0", self.l1, self.l2);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        cpu::penalize(x[0].data, x[1].data, self.l1, self.l2, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        cx.map(
            &wgsl::binary(include_str!("penalize.wgsl")),
            &[x[0].region, x[1].region],
            &[y.region],
            [self.l1, self.l2, 0.0],
        )
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |l1, l2, shape| Case::new(Self { l1, l2 }, [shape, shape]);
        vec![
            case(0.1, 0.2, &[1]),
            case(0.0, 0.5, &[5, 7]),
            case(0.5, 0.0, &[3, 3, 4, 8]),
            case(0.5, 0.5, &[37]).range(0, 0.0, 0.0),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let sign = x[0].mapv(|w| f64::from(i8::from(w > 0.0)) - f64::from(i8::from(w < 0.0)));
        &x[1] + sign * f64::from(self.l1) + &x[0] * f64::from(self.l2)
    }
}
