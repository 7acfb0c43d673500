#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, Slice, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::Kernel;
use crate::tensor::TensorType;

/// Its inputs one after the other along a dimension; they agree in all others (ONNX operator spec, Concat).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concat {
    /// The dimension, counted from 0.
    pub axis: usize,
}

impl Operator for Concat {
    const NAME: &'static str = "concat";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        ensure_op!(!x.is_empty(), "takes at least one input");
        expect_f32(x, x.len())?;
        let first = &x[0].shape;
        ensure_op!(self.axis < first.rank(), "{first} has no dimension {}", self.axis);
        let mut dims = first.to_vec();
        for other in &x[1..] {
            let agrees = |d: usize| d == self.axis || other.shape[d] == first[d];
            let fits = other.shape.rank() == first.rank() && (0..first.rank()).all(agrees);
            ensure_op!(fits, "{first} and {} differ outside dimension {}", other.shape, self.axis);
            let extent = dims[self.axis].checked_add(other.shape[self.axis]);
            dims[self.axis] = extent.ok_or_else(|| OpError::new("the joint dimension is too large"))?;
        }
        Ok(TensorType::f32(dims))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let outer: usize = x[0].shape[..self.axis].iter().product();
        let stride = y.len() / outer;
        let mut start = 0;
        for x in x {
            let run = x.data.len() / outer;
            for i in 0..outer {
                y[i * stride + start..][..run].copy_from_slice(&x.data[i * run..][..run]);
            }
            start += run;
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let outer: usize = x[0].shape[..self.axis].iter().product();
        let (kernel, run) = (Kernel::new(include_str!("concat.wgsl")), y.shape.len() / outer);
        let mut start = 0;
        for x in x {
            let part = x.shape.len() / outer;
            let params = [part, run, start].map(|v| v as u32);
            cx.dispatch_each(&kernel, &[x.region], &[y.region], x.shape.len(), &params)?;
            start += part;
        }
        Ok(())
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let axis = self.axis;
        let mut start = 0;
        let mut gradients = Vec::new();
        for (i, x) in g.get(v).inputs.clone().into_iter().enumerate() {
            let len = g.get(x).ty.shape[axis];
            gradients.push(Some(g.add_for(v, &format!("dx{i}"), Slice { axis, start, len }, &[dy])?));
            start += len;
        }
        Ok(gradients)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        vec![
            Case::new(Self { axis: 0 }, [&[1]]),
            Case::new(Self { axis: 0 }, [&[2, 5], &[1, 5], &[3, 5]]),
            Case::new(Self { axis: 1 }, [&[2, 3, 4, 5], &[2, 2, 4, 5]]),
            Case::new(Self { axis: 3 }, [&[2, 3, 4, 19], &[2, 3, 4, 1], &[2, 3, 4, 6], &[2, 3, 4, 9]]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let views: Vec<_> = x.iter().map(|x| x.view()).collect();
        ndarray::concatenate(ndarray::Axis(self.axis), &views).unwrap_or_else(|e| panic!("inferred shapes fit: {e}"))
    }
}
