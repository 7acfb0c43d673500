#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels::{self as cpu, PoolShape};
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Layout, Operator, View, Window, split_nhwc};
use crate::error::{Error, OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::Kernel;
use crate::tensor::TensorType;

/// Largest element under each window; cells of the padding never win (ONNX operator spec, MaxPool).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaxPool {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Stride, padding and dilation.
    pub window: Window,
    /// Whether the output size is rounded up; see `pool_shape`.
    pub ceil: bool,
    /// Order of dimensions of `x` and `y`.
    pub layout: Layout,
}

/// Sizes for the kernels.
///
/// `ceil` rounds the output size up, but a window that would start behind the image and its leading padding is left out
/// (ONNX operator spec, MaxPool, `ceil_mode`; PyTorch `pooling_output_shape`). The kernel gets the cells that this adds as trailing padding.
pub(super) fn pool_shape(
    window: &Window,
    kernel: [usize; 2],
    ceil: bool,
    [n, h, w, c]: [usize; 4],
) -> Result<PoolShape, OpError> {
    let mut out = window.output([h, w], kernel)?;
    let Window { stride, mut padding, dilation } = window.clone();
    for axis in 0..2 {
        let reach = dilation[axis] * (kernel[axis] - 1) + 1;
        let pads = [padding[axis], padding[axis + 2]];
        ensure_op!(pads.iter().all(|&p| p < reach), "a padding of {pads:?} is not smaller than the window of {reach}");
        let front = [h, w][axis] + pads[0];
        let leftover = !(front + pads[1] - reach).is_multiple_of(stride[axis]);
        if ceil && leftover && out[axis] * stride[axis] < front {
            out[axis] += 1;
        }
        let end = (out[axis] - 1) * stride[axis] + reach;
        padding[axis + 2] = pads[1].max(end.saturating_sub(front));
    }
    let [kh, kw] = kernel;
    let [oh, ow] = out;
    Ok(PoolShape { n, h, w, c, kh, kw, oh, ow, stride, padding, dilation, count_include_pad: false })
}

/// The words of `Params` that all poolings have after `count`.
pub(super) fn gpu_words(s: &PoolShape) -> Vec<u32> {
    let sizes = [s.c, s.h, s.w, s.oh, s.ow, s.kh, s.kw].into_iter().chain(s.stride).chain(s.dilation);
    sizes.chain([s.padding[0], s.padding[1]]).map(|v| v as u32).collect()
}

/// For shapes that `infer` accepted: the sizes exist.
pub(super) fn known(sizes: Result<PoolShape, OpError>) -> PoolShape {
    sizes.unwrap_or_else(|e| unreachable!("a planned pooling has sizes: {}", e.0))
}

impl Operator for MaxPool {
    const NAME: &'static str = "max_pool";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        let s = pool_shape(&self.window, self.kernel, self.ceil, self.layout.sizes(&x[0].shape)?)?;
        Ok(TensorType::f32(self.layout.shape([s.n, s.oh, s.ow, s.c])))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        debug_assert_eq!(self.layout, Layout::Nhwc, "kernels read NHWC");
        let s = known(pool_shape(&self.window, self.kernel, self.ceil, split_nhwc(x[0].shape)));
        cpu::max_pool(&s, x[0].data, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let s = known(pool_shape(&self.window, self.kernel, self.ceil, split_nhwc(x[0].shape)));
        let kernel = Kernel::new(include_str!("max_pool.wgsl"));
        cx.dispatch_each(&kernel, &[x[0].region], &[y.region], y.shape.len(), &gpu_words(&s))
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        expect_nhwc(self.layout, g, v)?;
        let x = g.get(v).inputs[0];
        let grad = MaxPoolGrad { kernel: self.kernel, window: self.window.clone(), ceil: self.ceil };
        Ok(vec![Some(g.add_for(v, "dx", grad, &[x, v, dy])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |kernel, window, ceil, x| Case::new(Self { kernel, window, ceil, layout: Layout::Nhwc }, [x]);
        // All below zero: a padded cell that won would show.
        pool_cases()
            .into_iter()
            .map(|(kernel, window, ceil, x, _)| case(kernel, window, ceil, x).range(0, -2.0, -1.0))
            .collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (kernel, window) = (self.kernel, &self.window);
        let [n, h, w, c] = [0, 1, 2, 3].map(|d| x[0].shape()[d]);
        let [oh, ow] = [0, 1].map(|axis| reference_size(window, kernel, self.ceil, axis, [h, w][axis]));
        ArrayD::from_shape_fn(vec![n, oh, ow, c], |at| {
            cells(window, kernel, [h, w], [at[1], at[2]])
                .into_iter()
                .map(|[i, j]| x[0][[at[0], i, j, at[3]]])
                .fold(f64::NEG_INFINITY, f64::max)
        })
    }
}

/// Fails for a layout that a rewrite should have removed.
pub(super) fn expect_nhwc(layout: Layout, g: &Graph, v: VertexId) -> Result<()> {
    if layout == Layout::Nhwc {
        return Ok(());
    }
    let vertex = Some(g.get(v).name.clone());
    Err(Error::Internal { vertex, reason: "gradients are taken in NHWC".into() })
}

/// Kernel, window, ceil, and shapes of `x` and `y` that poolings are tried with.
#[cfg(any(test, feature = "conformance"))]
pub(super) type PoolCase = ([usize; 2], Window, bool, &'static [usize], &'static [usize]);

#[cfg(any(test, feature = "conformance"))]
pub(super) fn pool_cases() -> Vec<PoolCase> {
    let window = |stride, padding, dilation| Window { stride, padding, dilation };
    vec![
        ([1, 1], Window::default(), false, &[1, 1, 1, 1], &[1, 1, 1, 1]),
        ([2, 2], window([2, 2], [0; 4], [1, 1]), false, &[2, 6, 7, 19], &[2, 3, 3, 19]),
        ([3, 3], window([2, 2], [1; 4], [1, 1]), false, &[1, 9, 10, 8], &[1, 5, 5, 8]),
        ([3, 2], window([1, 3], [1, 0, 2, 1], [1, 1]), false, &[2, 5, 7, 3], &[2, 6, 3, 3]),
        ([2, 3], window([1, 1], [1, 2, 0, 1], [2, 2]), false, &[1, 6, 7, 5], &[1, 5, 6, 5]),
        ([3, 3], window([2, 2], [0; 4], [1, 1]), true, &[1, 8, 6, 9], &[1, 4, 3, 9]),
        // The last window would start in the trailing padding: it is left out.
        ([2, 2], window([3, 3], [1; 4], [1, 1]), true, &[1, 5, 6, 4], &[1, 2, 3, 4]),
        ([3, 3], window([2, 3], [1, 1, 1, 1], [1, 2]), true, &[2, 6, 7, 3], &[2, 4, 3, 3]),
        ([2, 2], window([2, 2], [0; 4], [1, 1]), true, &[1, 3, 4, 3], &[1, 2, 2, 3]),
    ]
}

/// Number of windows, counted one by one.
#[cfg(any(test, feature = "conformance"))]
pub(super) fn reference_size(window: &Window, kernel: [usize; 2], ceil: bool, axis: usize, size: usize) -> usize {
    let (before, after) = (window.padding[axis], window.padding[axis + 2]);
    let last_tap = |i: usize| i * window.stride[axis] + window.dilation[axis] * (kernel[axis] - 1);
    let whole = (0..).take_while(|&i| last_tap(i) < before + size + after).count();
    let covers_all = last_tap(whole - 1) + 1 == before + size + after;
    let starts_inside = whole * window.stride[axis] < before + size;
    whole + usize::from(ceil && !covers_all && starts_inside)
}

/// Cells of the image under the window of output `at`, in row-major order.
#[cfg(any(test, feature = "conformance"))]
pub(super) fn cells(window: &Window, kernel: [usize; 2], size: [usize; 2], at: [usize; 2]) -> Vec<[usize; 2]> {
    let along = |axis: usize| {
        let tap = move |p: usize| {
            (at[axis] * window.stride[axis] + p * window.dilation[axis]).checked_sub(window.padding[axis])
        };
        (0..kernel[axis]).filter_map(tap).filter(move |i| *i < size[axis])
    };
    along(0).flat_map(|i| along(1).map(move |j| [i, j])).collect()
}

/// Gradient of [`MaxPool`], NHWC: `dy` goes to the first largest cell of each window in row-major order, as in PyTorch.
/// Inputs: `x`, `y`, `dy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaxPoolGrad {
    /// As in the forward op.
    pub kernel: [usize; 2],
    /// As in the forward op.
    pub window: Window,
    /// As in the forward op.
    pub ceil: bool,
}

impl Operator for MaxPoolGrad {
    const NAME: &'static str = "max_pool_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 3)?;
        let s = pool_shape(&self.window, self.kernel, self.ceil, Layout::Nhwc.sizes(&x[0].shape)?)?;
        let y = Layout::Nhwc.shape([s.n, s.oh, s.ow, s.c]);
        ensure_op!(x[1].shape == y && x[2].shape == y, "value and gradient are not {y}");
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        let s = known(pool_shape(&self.window, self.kernel, self.ceil, split_nhwc(x[0].shape)));
        cpu::max_pool_dx(&s, x[0].data, x[1].data, x[2].data, dx);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let s = known(pool_shape(&self.window, self.kernel, self.ceil, split_nhwc(x[0].shape)));
        let kernel = Kernel::new(include_str!("max_pool_grad.wgsl"));
        let inputs = [x[0].region, x[1].region, x[2].region];
        cx.dispatch_each(&kernel, &inputs, &[y.region], y.shape.len(), &gpu_words(&s))
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |(kernel, window, ceil, x, y): PoolCase| {
            let forward = MaxPool { kernel, window: window.clone(), ceil, layout: Layout::Nhwc };
            Case::new(Self { kernel, window, ceil }, [x, y, y]).value_of(1, forward, &[0])
        };
        let all_equal = pool_cases().into_iter().map(case).map(|c| c.range(0, 0.5, 0.5));
        pool_cases().into_iter().map(case).chain(all_equal).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let size = [x[0].shape()[1], x[0].shape()[2]];
        let mut dx = ArrayD::zeros(x[0].shape());
        for (at, dy) in x[2].indexed_iter() {
            let value = |[i, j]: [usize; 2]| x[0][[at[0], i, j, at[3]]];
            let cells = cells(&self.window, self.kernel, size, [at[1], at[2]]);
            let first = cells.into_iter().reduce(|best, cell| if value(cell) > value(best) { cell } else { best });
            if let Some([i, j]) = first {
                dx[[at[0], i, j, at[3]]] += dy;
            }
        }
        dx
    }
}
