#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::max_pool::expect_nhwc;
use super::{CpuContext, GpuContext, GpuView, Layout, Multiply, Operator, SumLike, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::{Shape, Tensor, TensorType};

/// `(x − mean) / √(variance + ε) · γ + β` with the mean and biased variance of the features of each position (Ba et al. 2016).
///
/// Features are the channels of an image batch and the last dimension of anything else, as in Keras `LayerNormalization(axis=-1)`
/// and in ONNX with `axis` −1. Inputs: `x`, then γ and β of `[c]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerNorm {
    /// ε, added to the variance; above 0.
    pub epsilon: f32,
    /// Order of dimensions of an image batch.
    pub layout: Layout,
}

impl LayerNorm {
    fn feature_axis(&self, x: &Shape) -> Result<usize, OpError> {
        let last = x.rank().checked_sub(1).ok_or_else(|| OpError::new("takes a value with features, not a scalar"))?;
        Ok(if x.rank() == 4 { self.layout.channel_axis() } else { last })
    }
}

impl Operator for LayerNorm {
    const NAME: &'static str = "layer_norm";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 3)?;
        ensure_op!(self.epsilon > 0.0 && self.epsilon.is_finite(), "ε is {}, not above 0", self.epsilon);
        let c = x[0].shape[self.feature_axis(&x[0].shape)?];
        for (name, ty) in ["γ", "β"].iter().zip(&x[1..]) {
            ensure_op!(*ty.shape == [c], "{name} is {}, not [{c}]", ty.shape);
        }
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        debug_assert!(self.layout == Layout::Nhwc || x[0].shape.rank() != 4, "kernels read NHWC");
        cpu::layer_norm(x[0].data, x[1].data, x[2].data, y, self.epsilon);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let (rows, columns) = x[0].shape.rows_cols();
        let kernel = wgsl::rows(include_str!("layer_norm.wgsl"), columns);
        let inputs = [x[0].region, x[1].region, x[2].region];
        cx.rows(&kernel, &inputs, &[y.region], [rows, columns], &[self.epsilon.to_bits()])
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let inputs = g.get(v).inputs.clone();
        let [x, gamma, beta] = [0, 1, 2].map(|i| inputs[i]);
        if g.get(x).ty.shape.rank() == 4 {
            expect_nhwc(self.layout, g, v)?;
        }
        let c = g.get(gamma).ty.shape.clone();
        let zero = g.constant(g.free_name(&format!("{}/zero", g.get(v).name)), Tensor::zeros(c.clone()))?;
        let ones = Tensor::f32(c.clone(), vec![1.0; c.len()])?;
        let one = g.constant(g.free_name(&format!("{}/one", g.get(v).name)), ones)?;
        let dx = g.add_for(v, "dx", LayerNormGrad { epsilon: self.epsilon }, &[x, gamma, dy])?;
        let normalised = g.add_for(v, "normalised", self.clone(), &[x, one, zero])?;
        let weighted = g.add_for(v, "dy_normalised", Multiply, &[dy, normalised])?;
        let dgamma = g.add_for(v, "dgamma", SumLike, &[weighted, gamma])?;
        let dbeta = g.add_for(v, "dbeta", SumLike, &[dy, beta])?;
        Ok(vec![Some(dx), Some(dgamma), Some(dbeta)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |epsilon, x: &[usize]| {
            let c = &x[x.len() - 1..];
            Case::new(Self { epsilon, layout: Layout::Nhwc }, [x, c, c])
        };
        vec![case(1e-3, &[1, 1]), case(1e-3, &[3, 37]), case(1e-2, &[2, 3, 5, 19]), case(1e-3, &[2, 5, 8])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (mut y, gamma, beta) = (x[0].clone(), &x[1], &x[2]);
        for mut row in y.rows_mut() {
            let mean = row.sum() / row.len() as f64;
            let variance = row.mapv(|x| (x - mean).powi(2)).sum() / row.len() as f64;
            for (i, x) in row.iter_mut().enumerate() {
                *x = (*x - mean) / (variance + f64::from(self.epsilon)).sqrt() * gamma[[i]] + beta[[i]];
            }
        }
        y
    }
}

/// Gradient of [`LayerNorm`] in `x`, features last: with `u = dy · γ` and the normalised `x̂`,
/// `(u − mean(u) − x̂ · mean(u · x̂)) / √(variance + ε)`. Inputs: `x`, γ, `dy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerNormGrad {
    /// As in the forward op.
    pub epsilon: f32,
}

impl Operator for LayerNormGrad {
    const NAME: &'static str = "layer_norm_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 3)?;
        ensure_op!(self.epsilon > 0.0 && self.epsilon.is_finite(), "ε is {}, not above 0", self.epsilon);
        ensure_op!(x[0].shape == x[2].shape, "value and gradient differ in shape");
        let c = x[0].shape.last().copied().unwrap_or_default();
        ensure_op!(*x[1].shape == [c], "γ is {}, not [{c}]", x[1].shape);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        cpu::layer_norm_dx(x[0].data, x[1].data, x[2].data, dx, self.epsilon);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let (rows, columns) = x[0].shape.rows_cols();
        let kernel = wgsl::rows(include_str!("layer_norm_grad.wgsl"), columns);
        let inputs = [x[0].region, x[1].region, x[2].region];
        cx.rows(&kernel, &inputs, &[y.region], [rows, columns], &[self.epsilon.to_bits()])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |epsilon, x: &[usize]| Case::new(Self { epsilon }, [x, &x[x.len() - 1..], x]);
        vec![case(1e-1, &[1]), case(1e-2, &[3, 37]), case(1e-1, &[2, 3, 5, 19])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let mut dx = &x[2] * &x[1];
        for (mut u, x) in dx.rows_mut().into_iter().zip(x[0].rows()) {
            let c = x.len() as f64;
            let mean = x.sum() / c;
            let deviation = (x.mapv(|x| (x - mean).powi(2)).sum() / c + f64::from(self.epsilon)).sqrt();
            let normalised = x.mapv(|x| (x - mean) / deviation);
            let (mean_u, mean_ux) = (u.sum() / c, (&u * &normalised).sum() / c);
            u.iter_mut().zip(&normalised).for_each(|(u, x)| *u = (*u - mean_u - x * mean_ux) / deviation);
        }
        dx
    }
}
