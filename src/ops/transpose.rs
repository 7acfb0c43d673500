#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// The dimensions in another order: dimension `i` of the value is `perm[i]` of `x` (ONNX operator spec, Transpose).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transpose {
    /// A permutation of the dimensions.
    pub perm: Vec<usize>,
}

impl Transpose {
    /// The permutation that undoes this one.
    pub fn inverse(&self) -> Self {
        let mut perm = vec![0; self.perm.len()];
        self.perm.iter().enumerate().for_each(|(to, &from)| perm[from] = to);
        Self { perm }
    }
}

impl Operator for Transpose {
    const NAME: &'static str = "transpose";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        let shape = &x[0].shape;
        let mut sorted = self.perm.clone();
        sorted.sort_unstable();
        ensure_op!(
            sorted.into_iter().eq(0..shape.rank()),
            "{:?} is no permutation of the dimensions of {shape}",
            self.perm
        );
        Ok(TensorType::f32(self.perm.iter().map(|&d| shape[d]).collect::<Vec<_>>()))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        cpu::permute(x[0].shape, &self.perm, x[0].data, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let stride = |d: usize| x[0].shape[d + 1..].iter().product();
        let dims: Vec<_> = self.perm.iter().map(|&d| (x[0].shape[d], stride(d))).collect();
        let strided = wgsl::gather(&dims, 0).ok_or_else(|| cx.no_kernel::<Self>())?;
        cx.strided(&strided, &[x[0].region], y.region)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        Ok(vec![Some(g.add_for(v, "dx", self.inverse(), &[dy])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |perm: &[usize], shape| Case::new(Self { perm: perm.to_vec() }, [shape]);
        vec![
            case(&[0], &[1]),
            case(&[1, 0], &[33, 17]),
            case(&[0, 2, 3, 1], &[2, 3, 5, 7]),
            case(&[0, 3, 1, 2], &[2, 5, 7, 19]),
            case(&[3, 2, 0, 1], &[3, 2, 5, 7]),
            case(&[0, 2, 1, 3], &[2, 3, 4, 5]),
            case(&[2, 1, 0], &[3, 4, 5]),
            case(&[0, 1, 2], &[3, 4, 5]),
            case(&[1, 0, 2], &[3, 5, 8]),
        ]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        x[0].view().permuted_axes(self.perm.clone()).as_standard_layout().to_owned()
    }
}
