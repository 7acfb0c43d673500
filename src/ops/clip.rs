#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{Clamp, CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// `min(max(x, min), max)`: relu, relu6 and ONNX's Clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// The interval.
    pub clamp: Clamp,
}

impl Operator for Clip {
    const NAME: &'static str = "clip";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        let (low, high) = self.clamp.bounds();
        ensure_op!(low <= high, "the interval {low}..{high} is empty");
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let (low, high) = self.clamp.bounds();
        cpu::clamp(x[0].data, y, low, high);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::unary(include_str!("clip.wgsl")).with_bounds(self.clamp.bounds());
        cx.map(&kernel, &[x[0].region], &[y.region], [0.0; 3])
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        Ok(vec![Some(g.add_for(v, "dx", ClipGrad { clamp: self.clamp }, &[v, dy])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let clamps =
            [Clamp::RELU, Clamp::RELU6, Clamp { min: Some(-0.5), max: Some(0.25) }, Clamp { min: None, max: None }];
        let case = |clamp| Case::new(Self { clamp }, [&[3, 5, 7]]).range(0, -8.0, 8.0);
        clamps.into_iter().map(case).chain([Case::new(Self { clamp: Clamp::RELU }, [&[1]])]).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (low, high) = self.clamp.bounds();
        x[0].mapv(|x| x.clamp(f64::from(low), f64::from(high)))
    }
}

/// Gradient of [`Clip`]: `dy` where the result lies inside the open interval, 0 at its ends (PyTorch's `hardtanh`, TensorFlow's
/// `Relu6Grad`). Inputs: `y`, `dy`. It needs the result only, so that a fused clamp keeps its gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipGrad {
    /// The interval.
    pub clamp: Clamp,
}

impl Operator for ClipGrad {
    const NAME: &'static str = "clip_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        ensure_op!(x[0].shape == x[1].shape, "value and gradient differ in shape");
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let (low, high) = self.clamp.bounds();
        cpu::clamp_dx(x[0].data, x[1].data, y, low, high);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::binary(include_str!("clip_grad.wgsl")).with_bounds(self.clamp.bounds());
        cx.map(&kernel, &[x[0].region, x[1].region], &[y.region], [0.0; 3])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |clamp, shape| Case::new(Self { clamp }, [shape, shape]);
        let clamp = Clamp { min: Some(-0.5), max: Some(0.5) };
        vec![case(clamp, &[1]), case(clamp, &[2, 3, 11]), case(Clamp::RELU, &[37]).range(0, 0.0, 0.0)]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (low, high) = self.clamp.bounds();
        let inside = x[0].mapv(|y| f64::from(u8::from(y > f64::from(low) && y < f64::from(high))));
        inside * &x[1]
    }
}
