#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

use super::attributes::expect_f32;
use super::batch_norm::encode_channels;
#[cfg(any(test, feature = "conformance"))]
use super::{BatchMean, BatchVariance, Case};
use super::{BatchNorm, BatchNormGammaGrad, Clamp, CpuContext, GpuContext, GpuView, Layout, Operator, SumLike, View};
use crate::error::{Error, OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// `y = (x − mean) / √(var + ε) · γ + β` per channel with the statistics of the batch (Ioffe & Szegedy 2015, algorithm 1).
///
/// Inputs: `x`, NHWC or rows `[n, c]`, then γ, β, and mean and variance of `x` as [`super::BatchMean`] and
/// [`super::BatchVariance`] give them, all of `[c]`. The gradient of `x` is that of `x` and of what the statistics owe it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormalizeBatch {
    /// ε, added to the variance; at least 0.
    pub epsilon: f32,
    /// Interval the result is clamped to (fused by a rewrite).
    pub clamp: Option<Clamp>,
}

impl NormalizeBatch {
    /// The same as a batch norm that is given its statistics.
    fn given(&self) -> BatchNorm {
        BatchNorm { epsilon: self.epsilon, momentum: 0.0, layout: Layout::Nhwc, clamp: self.clamp }
    }
}

impl Operator for NormalizeBatch {
    const NAME: &'static str = "normalize_batch";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        self.given().infer(x)
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        self.given().eval_cpu(cx, x, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        self.given().encode_gpu(cx, x, y)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let inputs = g.get(v).inputs.clone();
        let [x, gamma, beta, mean, var] = [0, 1, 2, 3, 4].map(|i| inputs[i]);
        if self.clamp.is_some() {
            let vertex = Some(g.get(v).name.clone());
            return Err(Error::Internal { vertex, reason: "gradients are taken before fusion".into() });
        }
        let epsilon = self.epsilon;
        let dgamma = g.add_for(v, "dgamma", BatchNormGammaGrad { epsilon }, &[dy, x, mean, var])?;
        let dbeta = g.add_for(v, "dbeta", SumLike, &[dy, beta])?;
        let dx = g.add_for(v, "dx", NormalizeBatchGrad { epsilon }, &[dy, x, gamma, mean, var, dgamma, dbeta])?;
        Ok(vec![Some(dx), Some(dgamma), Some(dbeta), None, None])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |epsilon, x: &[usize], clamp| {
            let c = &x[x.len() - 1..];
            let case = Case::new(Self { epsilon, clamp }, [x, c, c, c, c]).value_of(3, BatchMean, &[0]);
            case.value_of(4, BatchVariance, &[0, 3]).constant(3).constant(4)
        };
        vec![
            case(0.5, &[1, 1, 1, 1], None),
            case(1e-3, &[2, 5, 3, 19], None),
            case(0.0, &[3, 4, 4, 8], None),
            case(1e-3, &[7, 37], None),
            case(1e-3, &[7, 12], Some(Clamp::RELU)),
        ]
    }

    /// Of the statistics of `x`, not of those given: a difference in `x` is one in them.
    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let mean = BatchMean.reference(&x[..1]);
        let variance = BatchVariance.reference(&[x[0].clone(), mean.clone()]);
        self.given().reference(&[x[0].clone(), x[1].clone(), x[2].clone(), mean, variance])
    }
}

/// Gradient of [`NormalizeBatch`] in `x`: `dx = γ·r·(dy − (dβ + x̂·dγ) / n)` with `r = 1 / √(var + ε)`, `x̂ = (x − mean)·r` and `n` rows
/// (Ioffe & Szegedy 2015, section 3, with the sums named). Inputs: `dy`, `x`, γ, mean, variance, `dγ`, `dβ`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormalizeBatchGrad {
    /// As in the forward op.
    pub epsilon: f32,
}

impl Operator for NormalizeBatchGrad {
    const NAME: &'static str = "normalize_batch_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 7)?;
        ensure_op!(x[0] == x[1], "the gradient is {}, the input {}", x[0].shape, x[1].shape);
        let c = x[1].shape.rows_cols().1;
        for (name, ty) in ["γ", "the mean", "the variance", "dγ", "dβ"].iter().zip(&x[2..]) {
            ensure_op!(*ty.shape == [c], "{name} is {}, not [{c}]", ty.shape);
        }
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        let [gamma, mean, var, dgamma, dbeta] = [2, 3, 4, 5, 6].map(|i| x[i].data);
        let (rows, c) = x[1].shape.rows_cols();
        let [mut of_dy, mut of_x, mut shift] = [(); 3].map(|()| cx.scratch.take(c));
        for i in 0..c {
            let r = 1.0 / (f64::from(var[i]) + f64::from(self.epsilon)).sqrt();
            let (scale, share) = (f64::from(gamma[i]) * r, 1.0 / rows as f64);
            of_dy[i] = scale as f32;
            of_x[i] = (-scale * share * r * f64::from(dgamma[i])) as f32;
            shift[i] = (-scale * share * f64::from(dbeta[i])) as f32;
        }
        cpu::normalize_batch_dx(x[0].data, x[1].data, mean, [&of_dy, &of_x, &shift], dx);
        [of_dy, of_x, shift].into_iter().for_each(|taken| cx.scratch.give(taken));
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let (rows, c) = x[1].shape.rows_cols();
        let kernel = wgsl::channels(wgsl::unit(c).0, include_str!("normalize_batch_grad.wgsl"));
        let inputs: Vec<_> = x.iter().map(|x| x.region).collect();
        encode_channels(cx, &kernel, &inputs, y.region, c, [self.epsilon, 1.0 / rows as f32])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |epsilon, x: &[usize]| {
            let c = &x[x.len() - 1..];
            let case = Case::new(Self { epsilon }, [x, x, c, c, c, c, c]).value_of(3, BatchMean, &[1]);
            let case = case.value_of(4, BatchVariance, &[1, 3]);
            case.value_of(5, BatchNormGammaGrad { epsilon }, &[0, 1, 3, 4]).value_of(6, SumLike, &[0, 2])
        };
        vec![case(0.5, &[1, 1, 1, 1]), case(1e-3, &[2, 5, 3, 19]), case(0.0, &[3, 4, 4, 8]), case(1e-3, &[7, 37])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let share = x[2].len() as f64 / x[0].len() as f64;
        let r = x[4].mapv(|v| 1.0 / (v + f64::from(self.epsilon)).sqrt());
        let normalised = (&x[1] - &x[3]) * &r;
        (&x[0] - (&x[6] + normalised * &x[5]) * share) * (&x[2] * &r)
    }
}
