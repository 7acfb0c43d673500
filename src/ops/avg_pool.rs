#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels::{self as cpu, PoolShape};
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
#[cfg(any(test, feature = "conformance"))]
use super::max_pool::{PoolCase, cells, pool_cases, reference_size};
use super::max_pool::{expect_nhwc, gpu_words, known, pool_shape};
use super::{CpuContext, GpuContext, GpuView, Layout, Operator, View, Window, split_nhwc};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::Kernel;
use crate::tensor::TensorType;

/// Mean of the elements under each window (ONNX operator spec, AveragePool).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AvgPool {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Stride, padding and dilation.
    pub window: Window,
    /// Whether the output size is rounded up; see [`super::MaxPool`].
    pub ceil: bool,
    /// Whether cells of the padding count in the mean, as zeros. Cells behind the padding, which `ceil` may reach, never do.
    pub count_include_pad: bool,
    /// Order of dimensions of `x` and `y`.
    pub layout: Layout,
}

/// Attributes of [`AvgPool`] and its gradient.
#[derive(Clone, Copy)]
struct Average<'a> {
    kernel: [usize; 2],
    window: &'a Window,
    ceil: bool,
    count_include_pad: bool,
}

impl Average<'_> {
    fn sizes(&self, x: [usize; 4]) -> Result<PoolShape, OpError> {
        let sizes = pool_shape(self.window, self.kernel, self.ceil, x)?;
        Ok(PoolShape { count_include_pad: self.count_include_pad, ..sizes })
    }

    /// The words of `Params` after `count`.
    fn gpu_words(&self, x: [usize; 4]) -> Vec<u32> {
        let s = known(self.sizes(x));
        let [top, left, bottom, right] = self.window.padding;
        let bounds = match self.count_include_pad {
            true => [0, 0, top + s.h + bottom, left + s.w + right],
            false => [top, left, top + s.h, left + s.w],
        };
        gpu_words(&s).into_iter().chain(bounds.map(|v| v as u32)).collect()
    }

    /// Rescales the last row and column where the kernel, whose padding `ceil` has extended, counted cells behind the padding.
    fn correct_counts(&self, s: &PoolShape, y: &mut [f32]) {
        if !self.count_include_pad {
            return;
        }
        let factor = |axis: usize, size: usize, outputs: usize, taps: usize| {
            let end = size + self.window.padding[axis] + self.window.padding[axis + 2];
            let start = (outputs - 1) * self.window.stride[axis];
            let counted = (end - start).div_ceil(self.window.dilation[axis]).min(taps);
            taps as f32 / counted as f32
        };
        let (row, column) = (factor(0, s.h, s.oh, s.kh), factor(1, s.w, s.ow, s.kw));
        if row == 1.0 && column == 1.0 {
            return;
        }
        let scale = |cells: &mut [f32], factor: f32| cells.iter_mut().for_each(|y| *y *= factor);
        for image in y.chunks_exact_mut(s.oh * s.ow * s.c) {
            scale(&mut image[(s.oh - 1) * s.ow * s.c..], row);
            image.chunks_exact_mut(s.ow * s.c).for_each(|line| scale(&mut line[(s.ow - 1) * s.c..], column));
        }
    }

    /// Cells the mean of output `at` is taken over.
    #[cfg(any(test, feature = "conformance"))]
    fn count(&self, size: [usize; 2], at: [usize; 2]) -> f64 {
        let Self { kernel, window, .. } = *self;
        if !self.count_include_pad {
            return cells(window, kernel, size, at).len() as f64;
        }
        let padded = [0, 1].map(|axis| window.padding[axis] + size[axis] + window.padding[axis + 2]);
        cells(&Window { padding: [0; 4], ..window.clone() }, kernel, padded, at).len() as f64
    }
}

impl AvgPool {
    fn average(&self) -> Average<'_> {
        let Self { kernel, ref window, ceil, count_include_pad, .. } = *self;
        Average { kernel, window, ceil, count_include_pad }
    }
}

impl Operator for AvgPool {
    const NAME: &'static str = "avg_pool";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        let s = self.average().sizes(self.layout.sizes(&x[0].shape)?)?;
        Ok(TensorType::f32(self.layout.shape([s.n, s.oh, s.ow, s.c])))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        debug_assert_eq!(self.layout, Layout::Nhwc, "kernels read NHWC");
        let s = known(self.average().sizes(split_nhwc(x[0].shape)));
        cpu::avg_pool(&s, x[0].data, y);
        self.average().correct_counts(&s, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let words = self.average().gpu_words(split_nhwc(x[0].shape));
        let kernel = Kernel::new(include_str!("avg_pool.wgsl"));
        cx.dispatch_each(&kernel, &[x[0].region], &[y.region], y.shape.len(), &words)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        expect_nhwc(self.layout, g, v)?;
        let x = g.get(v).inputs[0];
        let Self { kernel, ref window, ceil, count_include_pad, .. } = *self;
        let grad = AvgPoolGrad { kernel, window: window.clone(), ceil, count_include_pad };
        Ok(vec![Some(g.add_for(v, "dx", grad, &[dy, x])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        both_counts(|(kernel, window, ceil, x, _), count_include_pad| {
            Case::new(Self { kernel, window, ceil, count_include_pad, layout: Layout::Nhwc }, [x])
        })
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let [n, h, w, c] = [0, 1, 2, 3].map(|d| x[0].shape()[d]);
        let size = |axis| reference_size(&self.window, self.kernel, self.ceil, axis, [h, w][axis]);
        ArrayD::from_shape_fn(vec![n, size(0), size(1), c], |at| {
            let cells = cells(&self.window, self.kernel, [h, w], [at[1], at[2]]);
            let sum: f64 = cells.into_iter().map(|[i, j]| x[0][[at[0], i, j, at[3]]]).sum();
            sum / self.average().count([h, w], [at[1], at[2]])
        })
    }
}

#[cfg(any(test, feature = "conformance"))]
fn both_counts(case: impl Fn(PoolCase, bool) -> Case) -> Vec<Case> {
    let twice = |pool: PoolCase| [case(pool.clone(), false), case(pool, true)];
    pool_cases().into_iter().flat_map(twice).collect()
}

/// Gradient of [`AvgPool`], NHWC: each `dy` in equal shares to the cells its mean was taken over. Inputs: `dy`, and `x` for its shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AvgPoolGrad {
    /// As in the forward op.
    pub kernel: [usize; 2],
    /// As in the forward op.
    pub window: Window,
    /// As in the forward op.
    pub ceil: bool,
    /// As in the forward op.
    pub count_include_pad: bool,
}

impl AvgPoolGrad {
    fn average(&self) -> Average<'_> {
        let Self { kernel, ref window, ceil, count_include_pad } = *self;
        Average { kernel, window, ceil, count_include_pad }
    }
}

impl Operator for AvgPoolGrad {
    const NAME: &'static str = "avg_pool_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        let s = self.average().sizes(Layout::Nhwc.sizes(&x[1].shape)?)?;
        let y = Layout::Nhwc.shape([s.n, s.oh, s.ow, s.c]);
        ensure_op!(x[0].shape == y, "the gradient is {}, the value {y}", x[0].shape);
        Ok(x[1].clone())
    }

    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        let s = known(self.average().sizes(split_nhwc(x[1].shape)));
        let mut dy = cx.scratch.take(x[0].data.len());
        dy.copy_from_slice(x[0].data);
        self.average().correct_counts(&s, &mut dy);
        cpu::avg_pool_dx(&s, &dy, dx);
        cx.scratch.give(dy);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let words = self.average().gpu_words(split_nhwc(x[1].shape));
        let kernel = Kernel::new(include_str!("avg_pool_grad.wgsl"));
        cx.dispatch_each(&kernel, &[x[0].region], &[y.region], y.shape.len(), &words)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        both_counts(|(kernel, window, ceil, x, y), count_include_pad| {
            Case::new(Self { kernel, window, ceil, count_include_pad }, [y, x]).constant(1)
        })
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let size = [x[1].shape()[1], x[1].shape()[2]];
        let mut dx = ArrayD::zeros(x[1].shape());
        for (at, dy) in x[0].indexed_iter() {
            let out = [at[1], at[2]];
            for [i, j] in cells(&self.window, self.kernel, size, out) {
                dx[[at[0], i, j, at[3]]] += dy / self.average().count(size, out);
            }
        }
        dx
    }
}
