#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, Pad, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// The indices `start..start + len` of one dimension (ONNX operator spec, Slice, with step 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The dimension, counted from 0.
    pub axis: usize,
    /// First index.
    pub start: usize,
    /// Number of indices, at least 1.
    pub len: usize,
}

impl Operator for Slice {
    const NAME: &'static str = "slice";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        let Self { axis, start, len } = *self;
        let mut dims = x[0].shape.to_vec();
        ensure_op!(axis < dims.len(), "{} has no dimension {axis}", x[0].shape);
        let fits = start.checked_add(len).is_some_and(|end| end <= dims[axis]);
        ensure_op!(
            len > 0 && fits,
            "{len} indices from {start} on do not lie in the {} of dimension {axis}",
            dims[axis]
        );
        dims[axis] = len;
        Ok(TensorType::f32(dims))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let shape = x[0].shape;
        let inner: usize = shape[self.axis + 1..].iter().product();
        let (run, stride) = (self.len * inner, shape[self.axis] * inner);
        for (i, y) in y.chunks_exact_mut(run).enumerate() {
            y.copy_from_slice(&x[0].data[i * stride + self.start * inner..][..run]);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let stride = |d: usize| x[0].shape[d + 1..].iter().product::<usize>();
        let dims: Vec<_> = y.shape.iter().enumerate().map(|(d, &extent)| (extent, stride(d))).collect();
        let offset = self.start * stride(self.axis);
        let strided = wgsl::gather(&dims, offset).ok_or_else(|| cx.no_kernel::<Self>())?;
        cx.strided(&strided, &[x[0].region], y.region)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let shape = &g.get(g.get(v).inputs[0]).ty.shape;
        let (mut before, mut after) = (vec![0; shape.rank()], vec![0; shape.rank()]);
        before[self.axis] = self.start;
        after[self.axis] = shape[self.axis] - self.start - self.len;
        Ok(vec![Some(g.add_for(v, "dx", Pad { before, after, value: 0.0 }, &[dy])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |axis, start, len, shape| Case::new(Self { axis, start, len }, [shape]);
        vec![
            case(0, 0, 1, &[1]),
            case(0, 1, 2, &[4, 3, 5]),
            case(1, 0, 2, &[3, 5, 4, 2]),
            case(3, 2, 9, &[2, 3, 4, 11]),
            case(2, 3, 1, &[2, 3, 4]),
            case(1, 1, 2, &[3, 4, 8]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        x[0].slice_axis(ndarray::Axis(self.axis), (self.start..self.start + self.len).into()).to_owned()
    }
}
