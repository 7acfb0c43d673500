#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// `x / max(‖x‖₂, ε)`, the norm taken over the dimensions from `axis` on.
///
/// With axis 1 and ε = 1e-8 it is Deeplearning4j's `L2NormalizeVertex`; Keras's `UnitNormalization` takes √1e-12 and the last axis.
/// ONNX's `LpNormalization` has no ε, so that one above 1e-6 is not written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct L2Normalize {
    /// First dimension the norm is taken over.
    pub axis: usize,
    /// ε, above 0.
    pub epsilon: f32,
}

fn check(axis: usize, epsilon: f32, x: &TensorType) -> Result<(), OpError> {
    ensure_op!(axis < x.shape.rank(), "{} has no dimension {axis}", x.shape);
    ensure_op!(epsilon > 0.0 && epsilon.is_finite(), "ε is {epsilon}, not above 0");
    Ok(())
}

impl Operator for L2Normalize {
    const NAME: &'static str = "l2_normalize";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        check(self.axis, self.epsilon, x[0])?;
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let cols = x[0].shape[self.axis..].iter().product();
        cpu::l2_normalize(cols, x[0].data, y, self.epsilon);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let columns: usize = x[0].shape[self.axis..].iter().product();
        let kernel = wgsl::rows(include_str!("l2_normalize.wgsl"), columns);
        let sizes = [x[0].shape.len() / columns, columns];
        cx.rows(&kernel, &[x[0].region], &[y.region], sizes, &[self.epsilon.to_bits()])
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let x = g.get(v).inputs[0];
        let grad = L2NormalizeGrad { axis: self.axis, epsilon: self.epsilon };
        Ok(vec![Some(g.add_for(v, "dx", grad, &[x, dy])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        cases(|axis, epsilon, shape| Case::new(Self { axis, epsilon }, [shape]))
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let mut y = x[0].clone();
        for row in rows(&mut y, self.axis) {
            let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::from(self.epsilon));
            row.iter_mut().for_each(|x| *x /= norm);
        }
        y
    }
}

/// Rows of every size, and rows of zeros, which ε keeps from being divided by 0.
#[cfg(any(test, feature = "conformance"))]
fn cases(case: impl Fn(usize, f32, &[usize]) -> Case) -> Vec<Case> {
    vec![
        case(0, 1e-8, &[1]),
        case(1, 1e-8, &[3, 37]),
        case(1, 1e-8, &[2, 3, 5, 7]),
        case(2, 1e-6, &[2, 3, 11]),
        case(0, 1e-8, &[2, 3]),
        case(1, 1e-3, &[3, 4]).range(0, 0.0, 0.0),
        // Norms below ε.
        case(1, 0.5, &[4, 5]).range(0, -0.125, 0.125),
    ]
}

#[cfg(any(test, feature = "conformance"))]
fn rows(x: &mut ArrayD<f64>, axis: usize) -> impl Iterator<Item = &mut [f64]> {
    let cols: usize = x.shape()[axis..].iter().product();
    x.as_slice_mut().into_iter().flat_map(move |x| x.chunks_exact_mut(cols))
}

/// Gradient of [`L2Normalize`]: `(dy − y · Σ y·dy) / ‖x‖` per row, `dy / ε` where the norm is at most ε. Inputs: `x`, `dy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct L2NormalizeGrad {
    /// As in the forward op.
    pub axis: usize,
    /// As in the forward op.
    pub epsilon: f32,
}

impl Operator for L2NormalizeGrad {
    const NAME: &'static str = "l2_normalize_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        ensure_op!(x[0].shape == x[1].shape, "value and gradient differ in shape");
        check(self.axis, self.epsilon, x[0])?;
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        let cols = x[0].shape[self.axis..].iter().product();
        cpu::l2_normalize_dx(cols, x[0].data, x[1].data, dx, self.epsilon);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let columns: usize = x[0].shape[self.axis..].iter().product();
        let kernel = wgsl::rows(include_str!("l2_normalize_grad.wgsl"), columns);
        let sizes = [x[0].shape.len() / columns, columns];
        cx.rows(&kernel, &[x[0].region, x[1].region], &[y.region], sizes, &[self.epsilon.to_bits()])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        // Elements are around 1, so that rounding is judged and not the size of 1/‖x‖.
        cases(|axis, epsilon, shape| Case::new(Self { axis, epsilon }, [shape, shape]).range(0, 0.25, 1.0))
            .into_iter()
            .chain([Case::new(Self { axis: 1, epsilon: 0.5 }, [&[4, 5], &[4, 5]]).range(0, 0.0, 0.125)])
            .collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (mut x, mut dx, epsilon) = (x[0].clone(), x[1].clone(), f64::from(self.epsilon));
        for (x, dx) in rows(&mut x, self.axis).zip(rows(&mut dx, self.axis)) {
            let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let dot: f64 = x.iter().zip(&*dx).map(|(x, dy)| x * dy).sum();
            for (x, dx) in x.iter().zip(dx) {
                *dx = if norm > epsilon { (*dx - x * dot / (norm * norm)) / norm } else { *dx / epsilon };
            }
        }
        dx
    }
}
