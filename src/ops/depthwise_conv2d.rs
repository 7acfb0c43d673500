use std::sync::Arc;

#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels::{self as cpu, ConvShape, Epilogue, PackedTaps};
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
#[cfg(any(test, feature = "conformance"))]
use super::conv2d::{for_each_tap, masked_reference};
use super::conv2d::{gpu_window, masked};
use super::sum_like::encode_sum_runs;
use super::{Clamp, CpuContext, GpuContext, GpuView, Layout, Operator, Prepared, SumLike, View, Window, split_nhwc};
use crate::error::{Error, OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::{self, Kernel, Work};
use crate::tensor::{Shape, TensorType};

/// Cross-correlation of each channel with its own filter: `y[n,i,j,c] = b[c] + Σ x[n, i·s + p·d − pad, …, c] · w[p,q,c]`
/// (ONNX operator spec, Conv with `group` = channels = filters).
///
/// Inputs: `x`, `w` of `[kh, kw, c]`, then `b` of `[c]` if `bias`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DepthwiseConv2d {
    /// Stride, padding and dilation.
    pub window: Window,
    /// Whether the third input is added per channel.
    pub bias: bool,
    /// Interval the result is clamped to (fused by a rewrite).
    pub clamp: Option<Clamp>,
    /// Order of dimensions of `x` and `y`.
    pub layout: Layout,
}

fn conv_shape(window: &Window, [n, h, w, c]: [usize; 4], filters: &[usize]) -> Result<ConvShape, OpError> {
    ensure_op!(filters.len() == 3, "filters have 3 dimensions [kh, kw, c], not {}", Shape::from(filters));
    let (kh, kw) = (filters[0], filters[1]);
    ensure_op!(filters[2] == c, "filters are for {} channels, the input has {c}", filters[2]);
    let [oh, ow] = window.output([h, w], [kh, kw])?;
    let Window { stride, padding, dilation } = window.clone();
    Ok(ConvShape { n, h, w, c, kh, kw, m: c, oh, ow, stride, padding, dilation, groups: c })
}

/// For shapes that `infer` accepted: the sizes exist.
fn known(sizes: Result<ConvShape, OpError>) -> ConvShape {
    sizes.unwrap_or_else(|e| unreachable!("a planned convolution has sizes: {}", e.0))
}

impl Operator for DepthwiseConv2d {
    const NAME: &'static str = "depthwise_conv2d";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2 + usize::from(self.bias))?;
        let s = conv_shape(&self.window, self.layout.sizes(&x[0].shape)?, &x[1].shape)?;
        if self.bias {
            ensure_op!(*x[2].shape == [s.c], "the bias is {}, not [{}]", x[2].shape, s.c);
        }
        Ok(TensorType::f32(self.layout.shape([s.n, s.oh, s.ow, s.c])))
    }

    fn prepare(&self, x: &[&TensorType], values: &[Option<&[f32]>]) -> Prepared {
        values[1].map_or(Prepared::None, |w| Prepared::Taps(Arc::new(PackedTaps::pack(x[1].shape[2], w))))
    }

    fn prepared_len(&self, x: &[&TensorType]) -> Option<usize> {
        let [kh, kw, c] = x[1].shape[..] else { return None };
        Some(PackedTaps::floats(kh * kw, c))
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        debug_assert_eq!(self.layout, Layout::Nhwc, "kernels read NHWC");
        let s = known(conv_shape(&self.window, split_nhwc(x[0].shape), x[1].shape));
        match &mut *cx.prepared {
            Prepared::Taps(_) if cx.fixed => {}
            Prepared::Taps(w) => Arc::make_mut(w).repack(s.c, x[1].data),
            prepared => *prepared = Prepared::Taps(Arc::new(PackedTaps::pack(s.c, x[1].data))),
        }
        let bias = self.bias.then(|| x[2].data);
        let epilogue = Epilogue { bias, residual: None, clamp: self.clamp.map(Clamp::bounds) };
        if let Prepared::Taps(w) = &*cx.prepared {
            cpu::depthwise(&s, x[0].data, w, y, epilogue, cx.scratch);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let s = known(conv_shape(&self.window, split_nhwc(x[0].shape), x[1].shape));
        let (kernel, params, groups, work) = wgsl::depthwise(&wgsl::Depthwise {
            n: s.n,
            c: s.c,
            window: gpu_window(&s),
            flipped: false,
            bias: self.bias,
            clamp: self.clamp.map(Clamp::bounds),
            mask: None,
            lanes: cx.limits().lanes,
        });
        let inputs: Vec<_> = x.iter().map(|x| x.region).collect();
        cx.dispatch(&kernel, &inputs, &[y.region], &params, groups, work)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let vertex = g.get(v);
        if self.clamp.is_some() || self.layout != Layout::Nhwc {
            let vertex = Some(vertex.name.clone());
            return Err(Error::Internal { vertex, reason: "gradients are taken before fusion, in NHWC".into() });
        }
        let inputs = vertex.inputs.clone();
        let (x, w) = (inputs[0], inputs[1]);
        let kernel = [g.get(w).ty.shape[0], g.get(w).ty.shape[1]];
        let window = self.window.clone();
        let dx = g.add_for(v, "dx", DepthwiseConv2dInputGrad { window: window.clone(), clamp: None }, &[dy, w, x])?;
        let dw = g.add_for(v, "dw", DepthwiseConv2dWeightGrad { window, kernel }, &[x, dy])?;
        let mut gradients = vec![Some(dx), Some(dw)];
        if self.bias {
            gradients.push(Some(g.add_for(v, "db", SumLike, &[dy, inputs[2]])?));
        }
        Ok(gradients)
    }

    fn macs(&self, x: &[&TensorType], y: &TensorType) -> u64 {
        y.shape.len() as u64 * (x[1].shape[0] * x[1].shape[1]) as u64
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let op = |window, bias, clamp| Self { window, bias, clamp, layout: Layout::Nhwc };
        let without_bias = shapes().into_iter().map(|(window, [x, w, _])| Case::new(op(window, false, None), [x, w]));
        let same = || Window { padding: [1; 4], ..Window::default() };
        without_bias
            .chain([
                Case::new(op(same(), true, None), [&[2, 6, 5, 13], &[3, 3, 13], &[13]]),
                Case::new(op(same(), true, Some(Clamp::RELU6)), [&[1, 7, 7, 32], &[3, 3, 32], &[32]]),
                Case::new(
                    op(Window { stride: [2, 2], ..same() }, false, Some(Clamp::RELU)),
                    [&[1, 8, 8, 9], &[3, 3, 9]],
                ),
            ])
            .collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let s = known(conv_shape(&self.window, split_nhwc(&Shape::from(x[0].shape())), x[1].shape()));
        let (low, high) = self.clamp.map_or((f32::NEG_INFINITY, f32::INFINITY), Clamp::bounds);
        ArrayD::from_shape_fn(vec![s.n, s.oh, s.ow, s.c], |at| {
            let mut sum = if self.bias { x[2][[at[3]]] } else { 0.0 };
            for_each_tap(&s, at[1], at[2], |p, q, row, col| {
                sum += x[0][[at[0], row, col, at[3]]] * x[1][[p, q, at[3]]]
            });
            sum.clamp(f64::from(low), f64::from(high))
        })
    }
}

/// Windows and shapes of `x`, `w`, `dy` that the op and both gradients are tried with.
#[cfg(any(test, feature = "conformance"))]
fn shapes() -> Vec<(Window, [&'static [usize]; 3])> {
    let window = |stride, padding, dilation| Window { stride, padding, dilation };
    vec![
        (Window::default(), [&[1, 1, 1, 1], &[1, 1, 1], &[1, 1, 1, 1]]),
        (window([1, 1], [1; 4], [1, 1]), [&[2, 7, 5, 19], &[3, 3, 19], &[2, 7, 5, 19]]),
        (window([1, 1], [2; 4], [1, 1]), [&[1, 6, 9, 8], &[5, 5, 8], &[1, 6, 9, 8]]),
        (window([2, 2], [0, 0, 1, 1], [1, 1]), [&[1, 8, 6, 12], &[3, 3, 12], &[1, 4, 3, 12]]),
        (window([2, 3], [1, 0, 2, 3], [1, 1]), [&[2, 6, 8, 3], &[4, 2, 3], &[2, 3, 4, 3]]),
        (window([1, 2], [2; 4], [2, 3]), [&[1, 7, 10, 5], &[3, 3, 5], &[1, 7, 4, 5]]),
        (Window::default(), [&[1, 3, 4, 33], &[3, 3, 33], &[1, 1, 2, 33]]),
        // More taps than a GPU's kernel is written out for.
        (window([1, 1], [4, 3, 3, 3], [1, 1]), [&[1, 4, 4, 4], &[8, 7, 4], &[1, 4, 4, 4]]),
    ]
}

/// Gradient of [`DepthwiseConv2d`] in `x`, NHWC. Inputs: `dy`, `w`, and `x` for its shape, or for its elements where there is a clamp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DepthwiseConv2dInputGrad {
    /// As in the forward op.
    pub window: Window,
    /// As in [`super::Conv2dInputGrad`].
    pub clamp: Option<Clamp>,
}

impl Operator for DepthwiseConv2dInputGrad {
    const NAME: &'static str = "depthwise_conv2d_input_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 3)?;
        let s = conv_shape(&self.window, Layout::Nhwc.sizes(&x[2].shape)?, &x[1].shape)?;
        ensure_op!(*x[0].shape == [s.n, s.oh, s.ow, s.c], "the gradient does not have the result's shape");
        Ok(x[2].clone())
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        let s = known(conv_shape(&self.window, split_nhwc(x[2].shape), x[1].shape));
        let [dy, w, x] = [0, 1, 2].map(|i| x[i].data);
        masked(cx, self.clamp, x, dx, |dx, scratch| cpu::depthwise_dx(&s, dy, w, dx, scratch));
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let s = known(conv_shape(&self.window, split_nhwc(x[2].shape), x[1].shape));
        let window = gpu_window(&s);
        let mask = self.clamp.map(Clamp::bounds);
        if s.stride != [1, 1] {
            let (kind, width) = wgsl::unit(s.c);
            let kernel = Kernel::new([kind, include_str!("depthwise_conv2d_input_grad.wgsl")].concat())
                .with("MASK", f64::from(u8::from(mask.is_some())))
                .with_bounds(mask.unwrap_or_default());
            // Without a mask, something is bound in its place.
            let inputs = [x[0].region, x[1].region, if mask.is_some() { x[2].region } else { x[0].region }];
            let count = y.shape.len() / width;
            let params: Vec<u32> = [count as u32, (s.c / width) as u32].into_iter().chain(window.words()).collect();
            let groups = (count as u64).div_ceil(u64::from(wgsl::WORKGROUP));
            // Every tap is looked at, those that no output saw too.
            let taps = (y.shape.len() * s.kh * s.kw) as u64;
            let work = Work { macs: (x[0].shape.len() * s.kh * s.kw) as u64, loads: 2 * taps };
            return cx.dispatch(&kernel, &inputs, &[y.region], &params, groups, work);
        }
        // Without strides it is a convolution of the gradient with the filters turned around; paddings below 0 wrap around.
        let padding = [0, 1].map(|d| (window.dilation[d] * (window.kernel[d] - 1)).wrapping_sub(window.padding[d]));
        let window = wgsl::WindowSizes { h: s.oh, w: s.ow, oh: s.h, ow: s.w, padding, ..window };
        let lanes = cx.limits().lanes;
        let turned = wgsl::Depthwise { n: s.n, c: s.c, window, flipped: true, bias: false, clamp: None, mask, lanes };
        let inputs = [x[0].region, x[1].region, x[2].region];
        let inputs = &inputs[..2 + usize::from(mask.is_some())];
        let (kernel, params, groups, work) = wgsl::depthwise(&turned);
        cx.dispatch(&kernel, inputs, &[y.region], &params, groups, work)
    }

    fn macs(&self, x: &[&TensorType], _: &TensorType) -> u64 {
        x[0].shape.len() as u64 * (x[1].shape[0] * x[1].shape[1]) as u64
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |clamp: Option<Clamp>| {
            move |(window, [x, w, dy]): (Window, [&[usize]; 3])| {
                Case::new(Self { window, clamp }, [dy, w, x]).constant(2)
            }
        };
        let clamp = Clamp { min: Some(-0.5), max: Some(0.25) };
        shapes().into_iter().map(case(None)).chain(shapes().into_iter().map(case(Some(clamp)))).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let s = known(conv_shape(&self.window, split_nhwc(&Shape::from(x[2].shape())), x[1].shape()));
        let mut dx = ArrayD::zeros(x[2].shape());
        for (at, dy) in x[0].indexed_iter() {
            for_each_tap(&s, at[1], at[2], |p, q, row, col| dx[[at[0], row, col, at[3]]] += dy * x[1][[p, q, at[3]]]);
        }
        masked_reference(self.clamp, &x[2], dx)
    }
}

/// Gradient of [`DepthwiseConv2d`] in `w`, NHWC. Inputs: `x`, `dy`; value: `[kh, kw, c]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DepthwiseConv2dWeightGrad {
    /// As in the forward op.
    pub window: Window,
    /// Height and width of the filters.
    pub kernel: [usize; 2],
}

impl DepthwiseConv2dWeightGrad {
    fn sizes(&self, x: &Shape) -> Result<ConvShape, OpError> {
        let [n, h, w, c] = Layout::Nhwc.sizes(x)?;
        conv_shape(&self.window, [n, h, w, c], &[self.kernel[0], self.kernel[1], c])
    }
}

impl Operator for DepthwiseConv2dWeightGrad {
    const NAME: &'static str = "depthwise_conv2d_weight_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        let s = self.sizes(&x[0].shape)?;
        ensure_op!(*x[1].shape == [s.n, s.oh, s.ow, s.c], "the gradient does not have the result's shape");
        Ok(TensorType::f32([s.kh, s.kw, s.c]))
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], dw: &mut [f32]) {
        cpu::depthwise_dw(&known(self.sizes(x[0].shape)), x[0].data, x[1].data, dw, cx.scratch);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let s = known(self.sizes(x[0].shape));
        let grad = wgsl::DepthwiseWeightGrad { n: s.n, c: s.c, window: gpu_window(&s), lanes: cx.limits().lanes };
        let inputs = [x[0].region, x[1].region];
        let params: Vec<u32> = [grad.count() as u32].into_iter().chain(grad.params()).collect();
        let groups = (grad.count() as u64).div_ceil(u64::from(wgsl::WORKGROUP));
        if grad.runs() == 1 {
            return cx.dispatch(&grad.kernel(), &inputs, &[y.region], &params, groups, grad.work());
        }
        let sums = cx.scratch(grad.runs() * y.shape.len());
        cx.dispatch(&grad.kernel(), &inputs, &[sums], &params, groups, grad.work())?;
        encode_sum_runs(cx, sums, y.region, y.region.len, grad.runs(), grad.runs())
    }

    fn macs(&self, x: &[&TensorType], y: &TensorType) -> u64 {
        x[1].shape.len() as u64 * (y.shape[0] * y.shape[1]) as u64
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case =
            |(window, [x, w, dy]): (Window, [&[usize]; 3])| Case::new(Self { window, kernel: [w[0], w[1]] }, [x, dy]);
        shapes().into_iter().map(case).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let s = known(self.sizes(&Shape::from(x[0].shape())));
        let mut dw = ArrayD::zeros(vec![s.kh, s.kw, s.c]);
        for (at, dy) in x[1].indexed_iter() {
            for_each_tap(&s, at[1], at[2], |p, q, row, col| dw[[p, q, at[3]]] += dy * x[0][[at[0], row, col, at[3]]]);
        }
        dw
    }
}
