//! Rows of tensors in either width.

use half::f16;
use half::slice::HalfFloatSliceExt;
use regraft_kernels as kernels;

/// Elements of rows of one length, one row after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats.
    F16(Vec<f16>),
}

impl Rows {
    /// The given rows of `len` elements each.
    pub fn pick(&self, rows: &[usize], len: usize) -> Self {
        match self {
            Self::F32(all) => Self::F32(picked(all, rows, len)),
            Self::F16(all) => Self::F16(picked(all, rows, len)),
        }
    }

    /// [`Rows::pick`] into memory of their size, as 32-bit floats.
    pub fn copy_to(&self, rows: &[usize], y: &mut [f32]) {
        let len = y.len() / rows.len().max(1);
        for (y, row) in y.chunks_exact_mut(len.max(1)).zip(rows) {
            match self {
                Self::F32(all) => kernels::copy(&all[row * len..][..len], y),
                Self::F16(all) => all[row * len..][..len].convert_to_f32_slice(y),
            }
        }
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(all) => size_of_val(all.as_slice()),
            Self::F16(all) => size_of_val(all.as_slice()),
        }
    }
}

fn picked<T: Copy>(all: &[T], rows: &[usize], len: usize) -> Vec<T> {
    rows.iter().flat_map(|row| &all[row * len..][..len]).copied().collect()
}
