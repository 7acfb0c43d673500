#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::{Shape, TensorType};

/// One dimension of a [`Reshape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dim {
    /// This extent.
    Fixed(usize),
    /// The input's extent at this position: the batch.
    Copy,
    /// Whatever is left; at most one dimension.
    Infer,
}

/// The same elements under another shape (ONNX operator spec, Reshape: `Copy` is its 0, `Infer` its −1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reshape {
    /// The dimensions of the value.
    pub dims: Vec<Dim>,
}

impl Reshape {
    fn shape(&self, x: &Shape) -> Result<Shape, OpError> {
        let infers = self.dims.iter().filter(|d| **d == Dim::Infer).count();
        ensure_op!(infers <= 1, "{infers} dimensions are to be inferred; at most one can be");
        let known = |(at, dim): (usize, &Dim)| match *dim {
            Dim::Fixed(extent) => Ok(extent),
            Dim::Copy => x.get(at).copied().ok_or_else(|| OpError::new(format!("{x} has no dimension {at} to copy"))),
            Dim::Infer => Ok(1),
        };
        let mut dims = self.dims.iter().enumerate().map(known).collect::<Result<Vec<_>, _>>()?;
        let len = Shape::from(dims.as_slice()).checked_len().unwrap_or(0);
        match self.dims.iter().position(|d| *d == Dim::Infer) {
            Some(at) => {
                ensure_op!(len > 0 && x.len().is_multiple_of(len), "the other dimensions ({len}) do not divide {x}");
                dims[at] = x.len() / len;
            }
            None => ensure_op!(len == x.len(), "{} elements do not fill {}", x.len(), Shape::from(dims)),
        }
        Ok(dims.into())
    }
}

impl Operator for Reshape {
    const NAME: &'static str = "reshape";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        self.shape(&x[0].shape).map(TensorType::f32)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        y.copy_from_slice(x[0].data);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        encode_copy(cx, x[0], y)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        reshape_back(g, v, dy).map(|dx| vec![Some(dx)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        use Dim::{Copy, Fixed, Infer};
        let case = |dims: &[Dim], shape| Case::new(Self { dims: dims.to_vec() }, [shape]);
        vec![
            case(&[Fixed(1), Fixed(1)], &[1]),
            case(&[Copy, Infer], &[2, 3, 5, 7]),
            case(&[Infer, Fixed(6), Copy], &[3, 4, 5]),
            case(&[Fixed(5), Fixed(4), Fixed(3)], &[3, 4, 5]),
            case(&[], &[1, 1]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let shape = self.shape(&Shape::from(x[0].shape())).unwrap_or_else(|e| panic!("inferred shapes fit: {}", e.0));
        reshaped(&x[0], &shape)
    }
}

/// Dispatches a copy of the elements, for values that do not share memory with their input.
pub(super) fn encode_copy(cx: &mut GpuContext, x: GpuView<'_>, y: GpuView<'_>) -> Result<()> {
    let kernel = wgsl::unary("fn f(x: vec4<f32>) -> vec4<f32> { return x; }");
    cx.map(&kernel, &[x.region], &[y.region], [0.0; 3])
}

/// `dy` under the shape of the only input of `v`.
pub(super) fn reshape_back(g: &mut Graph, v: VertexId, dy: VertexId) -> Result<VertexId> {
    let x = g.get(v).inputs[0];
    g.add_for(v, "dx", ReshapeLike, &[dy, x])
}

#[cfg(any(test, feature = "conformance"))]
pub(super) fn reshaped(x: &ArrayD<f64>, shape: &[usize]) -> ArrayD<f64> {
    x.to_shape(shape).unwrap_or_else(|e| panic!("inferred shapes fit: {e}")).to_owned()
}

/// The elements of `x` under the shape of `like`. Inputs: `x`, and `like` for its shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReshapeLike;

impl Operator for ReshapeLike {
    const NAME: &'static str = "reshape_like";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        ensure_op!(x[0].shape.len() == x[1].shape.len(), "{} and {} differ in length", x[0].shape, x[1].shape);
        Ok(x[1].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        y.copy_from_slice(x[0].data);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        encode_copy(cx, x[0], y)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        Ok(vec![Some(reshape_back(g, v, dy)?), None])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |x, like| Case::new(Self, [x, like]).constant(1);
        vec![case(&[1], &[1, 1]), case(&[2, 105], &[2, 3, 5, 7])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        reshaped(&x[0], x[1].shape())
    }
}
