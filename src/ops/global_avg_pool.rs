#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{BroadcastLike, CpuContext, GpuContext, GpuView, Layout, Operator, Scale, View, split_nhwc};
use crate::error::{OpError, Result};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::Kernel;
use crate::tensor::TensorType;

/// Mean over height and width, which stay as dimensions of 1 (ONNX operator spec, GlobalAveragePool).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GlobalAvgPool {
    /// Order of dimensions of `x` and `y`.
    pub layout: Layout,
}

impl Operator for GlobalAvgPool {
    const NAME: &'static str = "global_avg_pool";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        let [n, _, _, c] = self.layout.sizes(&x[0].shape)?;
        Ok(TensorType::f32(self.layout.shape([n, 1, 1, c])))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        debug_assert_eq!(self.layout, Layout::Nhwc, "kernels read NHWC");
        let [n, h, w, c] = split_nhwc(x[0].shape);
        cpu::global_avg_pool(n, h * w, c, x[0].data, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let [n, h, w, c] = split_nhwc(x[0].shape);
        let (kind, channels) =
            if c.is_multiple_of(4) { ("alias T = vec4<f32>;", c / 4) } else { ("alias T = f32;", c) };
        let kernel = Kernel::new([kind, include_str!("global_avg_pool.wgsl")].concat());
        cx.dispatch_each(&kernel, &[x[0].region], &[y.region], n * channels, &[channels as u32, (h * w) as u32])
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let x = g.get(v).inputs[0];
        let cells = g.get(x).ty.shape.len() / g.get(v).ty.shape.len();
        let share = g.add_for(v, "share", Scale { factor: 1.0 / cells as f32 }, &[dy])?;
        Ok(vec![Some(g.add_for(v, "dx", BroadcastLike, &[share, x])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |shape| Case::new(Self { layout: Layout::Nhwc }, [shape]);
        vec![case(&[1, 1, 1, 1]), case(&[2, 7, 7, 19]), case(&[3, 5, 2, 8]), case(&[1, 13, 11, 3])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (h, w) = (x[0].shape()[1], x[0].shape()[2]);
        let cells = (h * w) as f64;
        ArrayD::from_shape_fn(vec![x[0].shape()[0], 1, 1, x[0].shape()[3]], |at| {
            let row = |i| (0..w).map(|j| x[0][[at[0], i, j, at[3]]]).sum::<f64>();
            (0..h).map(row).sum::<f64>() / cells
        })
    }
}
