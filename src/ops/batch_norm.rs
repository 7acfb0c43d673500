#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::max_pool::expect_nhwc;
use super::sum_like::ColumnSums;
use super::{Clamp, CpuContext, GpuContext, GpuView, Layout, Operator, SumLike, View};
use crate::error::{Error, OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::{self, Kernel, Region};
use crate::tensor::{Shape, Tensor, TensorType};

/// `y = (x − mean) / √(var + ε) · γ + β` per channel, with given statistics (Ioffe & Szegedy 2015, algorithm 2).
///
/// Inputs: `x`, an image batch or rows `[n, c]`, then γ, β, mean and variance of `[c]`, which take no gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// ε, added to the variance; at least 0.
    pub epsilon: f32,
    /// Share of the running statistics that training on batch statistics keeps in each update, 0 to 1.
    #[serde(default = "keras_momentum")]
    pub momentum: f32,
    /// Order of dimensions of an image batch.
    pub layout: Layout,
    /// Interval the result is clamped to (fused by a rewrite).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clamp: Option<Clamp>,
}

/// Where a file says nothing: Keras's default.
fn keras_momentum() -> f32 {
    0.99
}

impl BatchNorm {
    fn channel_axis(&self, x: &Shape) -> Result<usize, OpError> {
        match x.rank() {
            2 => Ok(1),
            4 => Ok(self.layout.channel_axis()),
            _ => Err(OpError::new(format!("takes an image batch or rows [n, c], not {x}"))),
        }
    }
}

/// Most cells of a channel that an invocation goes through.
const CELLS: usize = 8;

/// Runs a kernel made by `wgsl::channels` over the cells of `y`, with as many an invocation as leave no lane of the device without.
pub(super) fn encode_channels(
    cx: &mut GpuContext,
    kernel: &Kernel,
    x: &[Region],
    y: Region,
    channels: usize,
    numbers: [f32; 2],
) -> Result<()> {
    let (units, rows) = (channels / wgsl::unit(channels).1, y.len / channels);
    let each = (units * rows / cx.limits().lanes as usize).clamp(1, CELLS);
    let params: Vec<u32> = [units, rows, each].into_iter().map(|v| v as u32).chain(numbers.map(f32::to_bits)).collect();
    cx.dispatch_each(kernel, x, &[y], units * rows.div_ceil(each), &params)
}

impl Operator for BatchNorm {
    const NAME: &'static str = "batch_norm";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 5)?;
        ensure_op!((0.0..=1.0).contains(&self.momentum), "the momentum {} lies outside 0 ≤ m ≤ 1", self.momentum);
        ensure_op!(self.epsilon >= 0.0, "ε is {}, not at least 0", self.epsilon);
        let c = x[0].shape[self.channel_axis(&x[0].shape)?];
        for (name, ty) in ["γ", "β", "the mean", "the variance"].iter().zip(&x[1..]) {
            ensure_op!(*ty.shape == [c], "{name} is {}, not [{c}]", ty.shape);
        }
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        debug_assert!(self.layout == Layout::Nhwc || x[0].shape.rank() == 2, "kernels read NHWC");
        let [gamma, beta, mean, var] = [1, 2, 3, 4].map(|i| x[i].data);
        let (rows, c) = x[0].shape.rows_cols();
        let (mut scale, mut shift) = (cx.scratch.take(c), cx.scratch.take(c));
        for i in 0..c {
            let factor = f64::from(gamma[i]) / (f64::from(var[i]) + f64::from(self.epsilon)).sqrt();
            scale[i] = factor as f32;
            shift[i] = (f64::from(beta[i]) - f64::from(mean[i]) * factor) as f32;
        }
        cpu::channel_scale_shift(rows, c, x[0].data, &scale, &shift, y, self.clamp.map(Clamp::bounds));
        cx.scratch.give(scale);
        cx.scratch.give(shift);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let kernel = wgsl::channels(wgsl::unit(x[1].shape.len()).0, include_str!("batch_norm.wgsl"))
            .with("CLAMP", f64::from(u8::from(self.clamp.is_some())))
            .with_bounds(self.clamp.map(Clamp::bounds).unwrap_or_default());
        let inputs: Vec<_> = x.iter().map(|x| x.region).collect();
        encode_channels(cx, &kernel, &inputs, y.region, x[1].shape.len(), [self.epsilon, 0.0])
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let inputs = g.get(v).inputs.clone();
        let [x, gamma, beta, mean, var] = [0, 1, 2, 3, 4].map(|i| inputs[i]);
        if self.clamp.is_some() {
            let vertex = Some(g.get(v).name.clone());
            return Err(Error::Internal { vertex, reason: "gradients are taken before fusion".into() });
        }
        if g.get(x).ty.shape.rank() == 4 {
            expect_nhwc(self.layout, g, v)?;
        }
        let zero = Tensor::zeros(g.get(gamma).ty.shape.clone());
        let zero = g.constant(g.free_name(&format!("{}/zero", g.get(v).name)), zero)?;
        // dx is dy scaled: a batch norm again.
        let dx = g.add_for(v, "dx", self.clone(), &[dy, gamma, zero, zero, var])?;
        let dgamma = g.add_for(v, "dgamma", BatchNormGammaGrad { epsilon: self.epsilon }, &[dy, x, mean, var])?;
        let dbeta = g.add_for(v, "dbeta", SumLike, &[dy, beta])?;
        Ok(vec![Some(dx), Some(dgamma), Some(dbeta), None, None])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |epsilon, x: &[usize], clamp| {
            let c = &x[x.len() - 1..];
            let case = Case::new(Self { epsilon, momentum: 0.9, layout: Layout::Nhwc, clamp }, [x, c, c, c, c]);
            case.range(4, 0.125, 2.0).constant(3).constant(4)
        };
        vec![
            case(1e-5, &[1, 1, 1, 1], None),
            case(1e-3, &[2, 5, 3, 19], None),
            case(0.0, &[3, 4, 4, 8], None),
            case(1e-3, &[7, 37], None),
            case(1e-3, &[2, 3, 5, 12], Some(Clamp { min: Some(-0.5), max: Some(0.25) })),
            case(1e-3, &[5, 7], Some(Clamp::RELU)),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let axis =
            self.channel_axis(&Shape::from(x[0].shape())).unwrap_or_else(|e| panic!("inferred shapes fit: {}", e.0));
        let (low, high) = self.clamp.map_or((f32::NEG_INFINITY, f32::INFINITY), Clamp::bounds);
        ArrayD::from_shape_fn(x[0].raw_dim(), |at| {
            let [gamma, beta, mean, var] = [1, 2, 3, 4].map(|i| x[i][[at[axis]]]);
            let y = (x[0][&at] - mean) / (var + f64::from(self.epsilon)).sqrt() * gamma + beta;
            y.clamp(f64::from(low), f64::from(high))
        })
    }
}

/// Gradient of [`BatchNorm`] in γ: `dγ = Σ dy · (x − mean) / √(var + ε)` over all rows. Inputs: `dy`, `x`, `[…, c]`, mean and variance of
/// `[c]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchNormGammaGrad {
    /// As in the forward op.
    pub epsilon: f32,
}

impl Operator for BatchNormGammaGrad {
    const NAME: &'static str = "batch_norm_gamma_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 4)?;
        let c = x[1].shape.rows_cols().1;
        ensure_op!(x[0] == x[1], "the gradient is {}, the input {}", x[0].shape, x[1].shape);
        ensure_op!(*x[2].shape == [c] && *x[3].shape == [c], "the statistics are {} and {}", x[2].shape, x[3].shape);
        Ok(x[2].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        cpu::sum_products(x[0].data, x[1].data, x[2].data, y);
        for (y, var) in y.iter_mut().zip(x[3].data) {
            *y = (f64::from(*y) / (f64::from(*var) + f64::from(self.epsilon)).sqrt()) as f32;
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let sums = ColumnSums { term: include_str!("batch_norm_gamma_grad.wgsl"), scale: 1.0, epsilon: self.epsilon };
        let inputs: Vec<_> = x.iter().map(|x| x.region).collect();
        sums.encode(cx, &inputs, y.region, x[1].shape.rows_cols().0)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |epsilon, x: &[usize]| {
            let c = &x[x.len() - 1..];
            Case::new(Self { epsilon }, [x, x, c, c]).range(3, 0.125, 2.0)
        };
        vec![case(1e-5, &[1, 1]), case(1e-3, &[2, 5, 3, 19]), case(0.0, &[3, 40, 8]), case(1e-3, &[700, 5])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let r = x[3].mapv(|v| 1.0 / (v + f64::from(self.epsilon)).sqrt());
        let mut terms = &x[0] * (&x[1] - &x[2]) * r;
        while terms.ndim() > 1 {
            terms = terms.sum_axis(ndarray::Axis(0));
        }
        terms
    }
}
