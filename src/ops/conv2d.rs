use std::sync::Arc;

#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels::{self as cpu, ConvShape, Epilogue, PackedConv, Scratch};
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::sum_like::encode_sum_runs;
use super::{Clamp, CpuContext, GpuContext, GpuView, Layout, Operator, Prepared, SumLike, View, Window, split_nhwc};
use crate::error::{Error, OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::{Direction, Gemm, Place, Region, WeightGrad, WindowSizes, Winograd};
use crate::tensor::{Shape, TensorType};

/// Cross-correlation of an image batch with filters: `y[n,i,j,m] = b[m] + Σ x[n, i·s + p·d − pad, …, c] · w[p,q,c,m]`
/// (ONNX operator spec, Conv).
///
/// Inputs: `x`, `w` of `[kh, kw, c/groups, m]`, then `b` of `[m]` if `bias`, then a tensor of `y`'s shape if `residual`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    /// Stride, padding and dilation.
    pub window: Window,
    /// Channel groups that see only themselves.
    pub groups: usize,
    /// Whether the third input is added per output channel.
    pub bias: bool,
    /// Whether the last input is added to the result (fused by a rewrite).
    pub residual: bool,
    /// Interval the result is clamped to (fused by a rewrite).
    pub clamp: Option<Clamp>,
    /// Order of dimensions of `x` and `y`.
    pub layout: Layout,
}

impl Conv2d {
    /// Sizes for the kernel, from the shapes of `x` (NHWC) and `w`.
    fn sizes(&self, x: &Shape, w: &Shape) -> Result<ConvShape, OpError> {
        conv_shape(&self.window, self.groups, self.layout.sizes(x)?, w)
    }
}

fn conv_shape(window: &Window, groups: usize, [n, h, width, c]: [usize; 4], w: &Shape) -> Result<ConvShape, OpError> {
    ensure_op!(w.rank() == 4, "filters have 4 dimensions [kh, kw, c/groups, m], not {w}");
    let (kh, kw, m) = (w[0], w[1], w[3]);
    ensure_op!(groups > 0 && c % groups == 0 && m % groups == 0, "{groups} groups do not divide {c} into {m} channels");
    ensure_op!(w[2] * groups == c, "filters {w} in {groups} groups take {} channels, the input has {c}", w[2] * groups);
    let [oh, ow] = window.output([h, width], [kh, kw])?;
    let Window { stride, padding, dilation } = window.clone();
    Ok(ConvShape { n, h, w: width, c, kh, kw, m, oh, ow, stride, padding, dilation, groups })
}

/// The window as GPU kernels take it.
pub(super) fn gpu_window(s: &ConvShape) -> WindowSizes {
    let (kernel, padding) = ([s.kh, s.kw], [s.padding[0], s.padding[1]]);
    WindowSizes { h: s.h, w: s.w, oh: s.oh, ow: s.ow, kernel, stride: s.stride, dilation: s.dilation, padding }
}

/// The window of a convolution, unless each row of the result is that of the image.
fn sliding_window(s: &ConvShape) -> Option<WindowSizes> {
    let pointwise = [s.kh, s.kw, s.stride[0], s.stride[1]] == [1; 4] && s.padding == [0; 4];
    (!pointwise).then(|| gpu_window(s))
}

/// Winograd's form and the region of its filters, where the filters are constant and it was timed to be faster.
fn faster_winograd<'a>(cx: &GpuContext, s: &'a ConvShape, w: &GpuView<'_>) -> Option<(Winograd<'a>, Region)> {
    let Place::Constant(index) = w.region.place else { return None };
    let winograd = Winograd::new(s).filter(|winograd| cx.limits().winograd[winograd.class()])?;
    let filters = Region { place: Place::Winograd(index), first: 0, len: winograd.filters() };
    (filters.bytes() <= cx.limits().binding_bytes).then_some((winograd, filters))
}

/// `y = xᵀ·dy` over all rows, in two steps where few invocations would sum many of them.
pub(super) fn encode_weight_grad(cx: &mut GpuContext, grad: &WeightGrad, x: [Region; 2], y: Region) -> Result<()> {
    let (kernel, params, groups) = (grad.kernel(), grad.params(), grad.workgroups());
    let work = grad.work();
    if grad.runs() == 1 {
        return cx.dispatch(&kernel, &x, &[y], &params, groups, work);
    }
    let sums = cx.scratch(grad.runs() * y.len);
    cx.dispatch(&kernel, &x, &[sums], &params, groups, work)?;
    encode_sum_runs(cx, sums, y, y.len, grad.runs(), grad.runs())
}

/// For shapes that `infer` accepted: the sizes exist.
fn known(sizes: Result<ConvShape, OpError>) -> ConvShape {
    sizes.unwrap_or_else(|e| unreachable!("a planned convolution has sizes: {}", e.0))
}

impl Operator for Conv2d {
    const NAME: &'static str = "conv2d";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2 + usize::from(self.bias) + usize::from(self.residual))?;
        let s = self.sizes(&x[0].shape, &x[1].shape)?;
        let y = self.layout.shape([s.n, s.oh, s.ow, s.m]);
        if self.bias {
            ensure_op!(x[2].shape == Shape::from([s.m]), "the bias is {}, not [{}]", x[2].shape, s.m);
        }
        if self.residual {
            let residual = &x[x.len() - 1].shape;
            ensure_op!(*residual == y, "the residual is {residual}, the result {y}");
        }
        Ok(TensorType::f32(y))
    }

    fn prepare(&self, x: &[&TensorType], values: &[Option<&[f32]>]) -> Prepared {
        match (self.sizes(&x[0].shape, &x[1].shape), values[1]) {
            (Ok(sizes), Some(w)) => Prepared::Conv(Arc::new(PackedConv::prepare(&sizes, w))),
            _ => Prepared::None,
        }
    }

    fn prepared_len(&self, x: &[&TensorType]) -> Option<usize> {
        self.sizes(&x[0].shape, &x[1].shape).ok().map(|sizes| PackedConv::len(&sizes))
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        debug_assert_eq!(self.layout, Layout::Nhwc, "kernels read NHWC");
        let s = known(self.sizes(x[0].shape, x[1].shape));
        match &mut *cx.prepared {
            Prepared::Conv(_) if cx.fixed => {}
            Prepared::Conv(w) => Arc::make_mut(w).repack(&s, x[1].data),
            prepared => *prepared = Prepared::Conv(Arc::new(PackedConv::pack(&s, x[1].data))),
        }
        let epilogue = Epilogue {
            bias: self.bias.then(|| x[2].data),
            residual: self.residual.then(|| x[x.len() - 1].data),
            clamp: self.clamp.map(Clamp::bounds),
        };
        if let Prepared::Conv(w) = &*cx.prepared {
            cpu::conv2d(&s, x[0].data, w, y, epilogue);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let s = known(self.sizes(x[0].shape, x[1].shape));
        let (rows, k, n) = (s.n * s.oh * s.ow, s.c / s.groups, s.m / s.groups);
        let gemm = Gemm {
            groups: s.groups,
            x_stride: s.c,
            window: sliding_window(&s).map(|window| (window, Direction::Forward)),
            bias: self.bias,
            residual: self.residual,
            clamp: self.clamp.map(Clamp::bounds),
            ..Gemm::dense(cx.limits().tiling(), rows, k, n)
        };
        let rest: Vec<_> = x.iter().skip(2).map(|x| x.region).collect();
        if let Some((winograd, filters)) = faster_winograd(cx, &s, &x[1]) {
            let added = [self.bias.then(|| rest[0]), self.residual.then(|| rest[rest.len() - 1])];
            return cx.winograd(&winograd, [x[0].region, filters], added, gemm.clamp, y.region);
        }
        if gemm.window.is_none() && s.groups == 1 {
            let matrix = GpuView { shape: &Shape::from([k, n]), ..x[1] };
            let part = |x_first, k| Gemm { x_first, k, ..gemm.clone() };
            return cx.gemm_in_parts(&gemm, [&x[0], &matrix], &rest, y.region, part);
        }
        let whole = gpu_window(&s);
        // Some rows of taps are a window of their own, further down the image.
        let part = |first: usize, rows| {
            let top = whole.padding[0].wrapping_sub(first * whole.dilation[0]);
            let (kernel, padding) = ([rows, whole.kernel[1]], [top, whole.padding[1]]);
            let window = WindowSizes { kernel, padding, ..whole.clone() };
            Gemm { window: Some((window, Direction::Forward)), ..gemm.clone() }
        };
        cx.gemm_in_parts(&gemm, [&x[0], &x[1]], &rest, y.region, part)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let vertex = g.get(v);
        if self.residual || self.clamp.is_some() || self.layout != Layout::Nhwc {
            let vertex = Some(vertex.name.clone());
            return Err(Error::Internal { vertex, reason: "gradients are taken before fusion, in NHWC".into() });
        }
        let inputs = vertex.inputs.clone();
        let (x, w) = (inputs[0], inputs[1]);
        let kernel = [g.get(w).ty.shape[0], g.get(w).ty.shape[1]];
        let (window, groups) = (self.window.clone(), self.groups);
        let dx = Conv2dInputGrad { window: window.clone(), groups, clamp: None };
        let dx = g.add_for(v, "dx", dx, &[dy, w, x])?;
        let dw = g.add_for(v, "dw", Conv2dWeightGrad { window, groups, kernel }, &[x, dy])?;
        let mut gradients = vec![Some(dx), Some(dw)];
        if self.bias {
            gradients.push(Some(g.add_for(v, "db", SumLike, &[dy, inputs[2]])?));
        }
        Ok(gradients)
    }

    fn macs(&self, x: &[&TensorType], y: &TensorType) -> u64 {
        let taps: usize = x[1].shape.iter().take(3).product();
        y.shape.len() as u64 * taps as u64
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let conv = |window: Window, groups, bias, residual, clamp| Self {
            window,
            groups,
            bias,
            residual,
            clamp,
            layout: Layout::Nhwc,
        };
        let plain = Window::default;
        let padded = |padding| Window { padding, ..plain() };
        vec![
            Case::new(conv(plain(), 1, false, false, None), [&[1, 1, 1, 1], &[1, 1, 1, 1]]),
            Case::new(conv(plain(), 1, true, false, None), [&[2, 7, 5, 19], &[1, 1, 19, 13], &[13]]),
            Case::new(conv(padded([1; 4]), 1, true, false, None), [&[1, 9, 11, 5], &[3, 3, 5, 17], &[17]]),
            Case::new(conv(padded([1, 0, 2, 3]), 1, false, false, None), [&[2, 6, 5, 3], &[3, 2, 3, 8]]),
            Case::new(
                conv(Window { stride: [2, 3], padding: [0, 0, 1, 1], dilation: [1, 1] }, 1, true, false, None),
                [&[1, 13, 14, 3], &[3, 3, 3, 32], &[32]],
            ),
            Case::new(
                conv(Window { stride: [1, 2], padding: [2; 4], dilation: [2, 3] }, 1, false, false, None),
                [&[1, 9, 10, 4], &[3, 3, 4, 6]],
            ),
            Case::new(conv(padded([1; 4]), 3, true, false, None), [&[2, 5, 6, 6], &[3, 3, 2, 9], &[9]]),
            // A filter bank a channel, everything uneven.
            Case::new(
                conv(Window { stride: [2, 1], padding: [0, 1, 2, 0], dilation: [1, 2] }, 5, true, false, None),
                [&[2, 6, 7, 5], &[2, 3, 1, 10], &[10]],
            ),
            Case::new(
                conv(Window { stride: [2, 2], ..plain() }, 1, false, false, None),
                [&[1, 7, 7, 9], &[1, 1, 9, 20]],
            ),
            Case::new(
                conv(plain(), 1, true, true, Some(Clamp::RELU6)),
                [&[1, 7, 7, 12], &[1, 1, 12, 10], &[10], &[1, 7, 7, 10]],
            ),
            Case::new(conv(padded([1; 4]), 1, true, false, Some(Clamp::RELU)), [&[1, 6, 6, 8], &[3, 3, 8, 8], &[8]]),
            // Wide enough for Winograd's form where weights are constant; on a GPU, with more tiles than channels.
            Case::new(
                conv(padded([1; 4]), 1, true, true, Some(Clamp::RELU)),
                [&[3, 7, 9, 16], &[3, 3, 16, 20], &[20], &[3, 7, 9, 20]],
            ),
            Case::new(conv(padded([0, 2, 1, 0]), 1, false, false, None), [&[1, 9, 6, 20], &[3, 3, 20, 16]]),
            // Large enough for the tile of a workgroup, which neither rows nor columns nor terms fill.
            Case::new(
                conv(
                    Window { stride: [2, 1], padding: [1, 2, 0, 1], dilation: [1, 2] },
                    1,
                    true,
                    true,
                    Some(Clamp::RELU6),
                ),
                [&[2, 9, 11, 12], &[3, 2, 12, 68], &[68], &[2, 4, 12, 68]],
            ),
            Case::new(conv(plain(), 2, true, false, None), [&[1, 9, 8, 40], &[1, 1, 20, 88], &[88]]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let s = known(self.sizes(&Shape::from(x[0].shape()), &Shape::from(x[1].shape())));
        let (channels, filters) = (s.c / s.groups, s.m / s.groups);
        ArrayD::from_shape_fn(vec![s.n, s.oh, s.ow, s.m], |at| {
            let (n, i, j, m) = (at[0], at[1], at[2], at[3]);
            let first = m / filters * channels;
            let mut sum = if self.bias { x[2][[m]] } else { 0.0 };
            for_each_tap(&s, i, j, |p, q, row, col| {
                for c in 0..channels {
                    sum += x[0][[n, row, col, first + c]] * x[1][[p, q, c, m]];
                }
            });
            if self.residual {
                sum += x[x.len() - 1][[n, i, j, m]];
            }
            let (low, high) = self.clamp.map_or((f32::NEG_INFINITY, f32::INFINITY), Clamp::bounds);
            sum.clamp(f64::from(low), f64::from(high))
        })
    }
}

/// Calls `f(p, q, row, column)` for every tap of output `(i, j)` that falls on the image.
#[cfg(any(test, feature = "conformance"))]
pub(super) fn for_each_tap(s: &ConvShape, i: usize, j: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
    for p in 0..s.kh {
        for q in 0..s.kw {
            let row = (i * s.stride[0] + p * s.dilation[0]).checked_sub(s.padding[0]).filter(|r| *r < s.h);
            let col = (j * s.stride[1] + q * s.dilation[1]).checked_sub(s.padding[1]).filter(|c| *c < s.w);
            if let (Some(row), Some(col)) = (row, col) {
                f(p, q, row, col);
            }
        }
    }
}

/// Writes what `gradient` makes to `dx`, and 0 where `x` lies on the bounds of its clamp.
pub(super) fn masked(
    cx: &mut CpuContext<'_>,
    clamp: Option<Clamp>,
    x: &[f32],
    dx: &mut [f32],
    gradient: impl FnOnce(&mut [f32], &mut Scratch),
) {
    let Some((low, high)) = clamp.map(Clamp::bounds) else { return gradient(dx, cx.scratch) };
    let mut whole = cx.scratch.take(dx.len());
    gradient(&mut whole, cx.scratch);
    cpu::clamp_dx(x, &whole, dx, low, high);
    cx.scratch.give(whole);
}

/// The same for a reference.
#[cfg(any(test, feature = "conformance"))]
pub(super) fn masked_reference(clamp: Option<Clamp>, x: &ArrayD<f64>, dx: ArrayD<f64>) -> ArrayD<f64> {
    let Some((low, high)) = clamp.map(Clamp::bounds) else { return dx };
    let inside = x.mapv(|x| f64::from(u8::from(x > f64::from(low) && x < f64::from(high))));
    inside * dx
}

/// Gradient of [`Conv2d`] in `x`, NHWC. Inputs: `dy`, `w`, and `x` for its shape, or for its elements where there is a clamp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conv2dInputGrad {
    /// As in the forward op.
    pub window: Window,
    /// As in the forward op.
    pub groups: usize,
    /// Interval that `x` was clamped to: the gradient is that of what was clamped, see [`super::ClipGrad`] (fused by a rewrite).
    pub clamp: Option<Clamp>,
}

impl Operator for Conv2dInputGrad {
    const NAME: &'static str = "conv2d_input_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 3)?;
        let s = conv_shape(&self.window, self.groups, Layout::Nhwc.sizes(&x[2].shape)?, &x[1].shape)?;
        ensure_op!(x[0].shape == Shape::from([s.n, s.oh, s.ow, s.m]), "the gradient does not have the result's shape");
        Ok(x[2].clone())
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let s = known(conv_shape(&self.window, self.groups, split_nhwc(x[2].shape), x[1].shape));
        let [dy, w, x] = [0, 1, 2].map(|i| x[i].data);
        masked(cx, self.clamp, x, y, |dx, scratch| cpu::conv2d_dx(&s, dy, w, dx, scratch));
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let s = known(conv_shape(&self.window, self.groups, split_nhwc(x[2].shape), x[1].shape));
        let (rows, k, n) = (s.n * s.h * s.w, s.m / s.groups, s.c / s.groups);
        // Rows of the gradient of the image are sums over the outputs that saw the cell.
        let seen = |window: WindowSizes| WindowSizes { h: s.oh, w: s.ow, oh: s.h, ow: s.w, ..window };
        let gemm = Gemm {
            groups: s.groups,
            x_stride: s.m,
            window: sliding_window(&s).map(|window| (seen(window), Direction::Backward)),
            transposed: true,
            mask: self.clamp.map(Clamp::bounds),
            ..Gemm::dense(cx.limits().tiling(), rows, k, n)
        };
        let inputs = [x[0].region, x[1].region, x[2].region];
        cx.gemm(&gemm, &inputs[..2 + usize::from(self.clamp.is_some())], y.region)
    }

    fn macs(&self, x: &[&TensorType], _: &TensorType) -> u64 {
        let taps: usize = x[1].shape.iter().take(3).product();
        x[0].shape.len() as u64 * taps as u64
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |clamp: Option<Clamp>| {
            move |window, groups, [x, w, dy]: [&[usize]; 3]| Case::new(Self { window, groups, clamp }, [dy, w, x])
        };
        let clamp = Clamp { min: Some(-0.5), max: Some(0.25) };
        grad_cases(case(None)).into_iter().chain(grad_cases(case(Some(clamp)))).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let shape = Shape::from(x[2].shape());
        let s = known(conv_shape(&self.window, self.groups, split_nhwc(&shape), &Shape::from(x[1].shape())));
        let (channels, filters) = (s.c / s.groups, s.m / s.groups);
        let mut dx = ArrayD::zeros(shape.to_vec());
        for (at, dy) in x[0].indexed_iter() {
            let (n, m) = (at[0], at[3]);
            for_each_tap(&s, at[1], at[2], |p, q, row, col| {
                for c in 0..channels {
                    dx[[n, row, col, m / filters * channels + c]] += dy * x[1][[p, q, c, m]];
                }
            });
        }
        masked_reference(self.clamp, &x[2], dx)
    }
}

/// Gradient of [`Conv2d`] in `w`, NHWC. Inputs: `x`, `dy`; value: `[kh, kw, c/groups, m]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conv2dWeightGrad {
    /// As in the forward op.
    pub window: Window,
    /// As in the forward op.
    pub groups: usize,
    /// Height and width of the filters.
    pub kernel: [usize; 2],
}

impl Conv2dWeightGrad {
    fn sizes(&self, x: &Shape, dy: &Shape) -> Result<(ConvShape, Shape), OpError> {
        let [n, h, w, c] = Layout::Nhwc.sizes(x)?;
        ensure_op!(
            dy.rank() == 4 && self.groups > 0 && c % self.groups == 0,
            "{} groups do not divide {x}",
            self.groups
        );
        let filters = Shape::from([self.kernel[0], self.kernel[1], c / self.groups, dy[3]]);
        Ok((conv_shape(&self.window, self.groups, [n, h, w, c], &filters)?, filters))
    }
}

impl Operator for Conv2dWeightGrad {
    const NAME: &'static str = "conv2d_weight_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        let (s, filters) = self.sizes(&x[0].shape, &x[1].shape)?;
        ensure_op!(x[1].shape == Shape::from([s.n, s.oh, s.ow, s.m]), "the gradient does not have the result's shape");
        Ok(TensorType::f32(filters))
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let s = known(self.sizes(x[0].shape, x[1].shape).map(|(s, _)| s));
        cpu::conv2d_dw(&s, x[0].data, x[1].data, y, cx.scratch);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let s = known(self.sizes(x[0].shape, x[1].shape).map(|(s, _)| s));
        let grad = WeightGrad {
            rows: s.n * s.oh * s.ow,
            k: s.c / s.groups,
            n: s.m / s.groups,
            groups: s.groups,
            window: sliding_window(&s),
            tiling: cx.limits().tiling(),
        };
        encode_weight_grad(cx, &grad, [x[0].region, x[1].region], y.region)
    }

    fn macs(&self, x: &[&TensorType], y: &TensorType) -> u64 {
        let taps: usize = y.shape.iter().take(3).product();
        x[1].shape.len() as u64 * taps as u64
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        grad_cases(|window, groups, [x, w, dy]| Case::new(Self { window, groups, kernel: [w[0], w[1]] }, [x, dy]))
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (shape, dy) = (Shape::from(x[0].shape()), Shape::from(x[1].shape()));
        let s = known(self.sizes(&shape, &dy).map(|(s, _)| s));
        let (channels, filters) = (s.c / s.groups, s.m / s.groups);
        let mut dw = ArrayD::zeros(vec![s.kh, s.kw, channels, s.m]);
        for (at, dy) in x[1].indexed_iter() {
            let (n, m) = (at[0], at[3]);
            for_each_tap(&s, at[1], at[2], |p, q, row, col| {
                for c in 0..channels {
                    dw[[p, q, c, m]] += dy * x[0][[n, row, col, m / filters * channels + c]];
                }
            });
        }
        dw
    }
}

/// Windows, groups and shapes of `x`, `w`, `dy` that both gradients are tried with.
#[cfg(any(test, feature = "conformance"))]
fn grad_cases(case: impl Fn(Window, usize, [&[usize]; 3]) -> Case) -> Vec<Case> {
    let window = |stride, padding, dilation| Window { stride, padding, dilation };
    vec![
        case(Window::default(), 1, [&[1, 1, 1, 1], &[1, 1, 1, 1], &[1, 1, 1, 1]]),
        case(Window::default(), 1, [&[2, 5, 7, 19], &[1, 1, 19, 13], &[2, 5, 7, 13]]),
        case(window([1, 1], [1; 4], [1, 1]), 1, [&[2, 5, 6, 3], &[3, 3, 3, 10], &[2, 5, 6, 10]]),
        case(window([2, 3], [0, 1, 1, 0], [1, 1]), 1, [&[1, 8, 9, 4], &[3, 2, 4, 5], &[1, 4, 3, 5]]),
        case(window([1, 1], [2; 4], [2, 2]), 1, [&[1, 6, 5, 3], &[3, 3, 3, 4], &[1, 6, 5, 4]]),
        case(window([1, 1], [1; 4], [1, 1]), 2, [&[1, 4, 5, 6], &[3, 3, 3, 8], &[1, 4, 5, 8]]),
        case(window([2, 1], [0, 1, 2, 0], [1, 2]), 5, [&[2, 6, 7, 5], &[2, 3, 1, 10], &[2, 4, 4, 10]]),
        case(window([2, 2], [0; 4], [1, 1]), 1, [&[1, 7, 7, 8], &[1, 1, 8, 9], &[1, 4, 4, 9]]),
    ]
}
