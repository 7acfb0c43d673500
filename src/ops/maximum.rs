#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::add::{elementwise_shape, encode_elementwise, unbroadcast};
use super::attributes::expect_f32;
#[cfg(any(test, feature = "conformance"))]
use super::broadcast_like::broadcast_to;
use super::broadcast_like::zip_broadcast;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::{self, Kernel};
use crate::tensor::TensorType;

/// `max(a, b)` element by element, broadcast as in numpy; NaN wins (ONNX operator spec, Max).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Maximum;

impl Operator for Maximum {
    const NAME: &'static str = "maximum";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        elementwise_shape(&x[0].shape, &x[1].shape).map(TensorType::f32)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        zip_broadcast(x[0], x[1], y, cpu::maximum);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        encode_elementwise::<Self>(include_str!("maximum.wgsl"), cx, x, y)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let (a, b) = (g.get(v).inputs[0], g.get(v).inputs[1]);
        let mut of = |first: bool, part: &str| g.add_for(v, part, MaximumGrad { first }, &[a, b, dy]);
        let (of_a, of_b) = (of(true, "dy_a")?, of(false, "dy_b")?);
        Ok(vec![Some(unbroadcast(g, v, "da", of_a, a)?), Some(unbroadcast(g, v, "db", of_b, b)?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        super::add::ELEMENTWISE.into_iter().map(|shapes| Case::new(Self, shapes)).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let shape = (&x[0] + &x[1]).shape().to_vec();
        let (a, b) = (broadcast_to(&x[0], &shape), broadcast_to(&x[1], &shape));
        ndarray::Zip::from(&a).and(&b).map_collect(|a, b| a.max(*b))
    }
}

/// Share of the gradient of [`Maximum`] that one of its inputs gets: `dy` where that input is the larger one, else 0. The first
/// gets it where both are equal (TensorFlow's `MaximumGrad`). Inputs: `a`, `b`, `dy`; its value has the shape of `dy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaximumGrad {
    /// Whether it is the share of `a`.
    pub first: bool,
}

impl Operator for MaximumGrad {
    const NAME: &'static str = "maximum_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 3)?;
        let y = elementwise_shape(&x[0].shape, &x[1].shape)?;
        ensure_op!(x[2].shape == y, "the gradient is {}, the value {y}", x[2].shape);
        Ok(x[2].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        zip_broadcast(x[0], x[1], dx, if self.first { cpu::not_less } else { cpu::less });
        dx.iter_mut().zip(x[2].data).for_each(|(dx, dy)| *dx *= dy);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let dims = wgsl::dim_words(&wgsl::broadcast_dims(x[0].shape, x[1].shape, y.shape));
        let dims = dims.ok_or_else(|| cx.no_kernel::<Self>())?;
        let kernel = Kernel::new(include_str!("maximum_grad.wgsl")).with("FIRST", f64::from(u8::from(self.first)));
        let inputs = [x[0].region, x[1].region, x[2].region];
        cx.dispatch_each(&kernel, &inputs, &[y.region], y.shape.len(), &dims)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |shapes: [&[usize]; 2]| {
            let y = elementwise_shape(&shapes[0].into(), &shapes[1].into());
            let y = y.unwrap_or_else(|e| panic!("the cases fit: {}", e.0));
            [true, false].map(|first| Case::new(Self { first }, [shapes[0], shapes[1], &y]))
        };
        let equal = |case: Case| case.range(0, 0.5, 0.5).range(1, 0.5, 0.5);
        super::add::ELEMENTWISE.into_iter().flat_map(case).chain(case([&[3, 5], &[3, 5]]).map(equal)).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let share = (&x[0] - &x[1]).mapv(|d| f64::from(u8::from((d >= 0.0) == self.first)));
        share * &x[2]
    }
}
