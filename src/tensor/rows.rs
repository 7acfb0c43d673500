//! Rows of tensors in either width.

use half::f16;
use half::slice::HalfFloatSliceExt;
use regraft_kernels as kernels;

/// Rows of one length, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Elements of a row.
    pub len: usize,
    /// Of all rows.
    pub elements: Floats,
}

/// Floats of either width.
#[derive(Debug, Clone, PartialEq)]
pub enum Floats {
    /// 32 bits.
    F32(Vec<f32>),
    /// 16 bits.
    F16(Vec<f16>),
}

impl Rows {
    /// The given rows.
    pub fn pick(&self, rows: &[usize]) -> Self {
        let elements = match &self.elements {
            Floats::F32(all) => Floats::F32(picked(all, rows, self.len)),
            Floats::F16(all) => Floats::F16(picked(all, rows, self.len)),
        };
        Self { len: self.len, elements }
    }

    /// [`Rows::pick`] into memory of their size, as 32-bit floats.
    pub fn copy_to(&self, rows: &[usize], y: &mut [f32]) {
        debug_assert_eq!(y.len(), rows.len() * self.len);
        for (y, row) in y.chunks_exact_mut(self.len.max(1)).zip(rows) {
            match &self.elements {
                Floats::F32(all) => kernels::copy(&all[row * self.len..][..self.len], y),
                Floats::F16(all) => all[row * self.len..][..self.len].convert_to_f32_slice(y),
            }
        }
    }

    /// [`Rows::copy_to`] new memory.
    pub fn widened(&self, rows: &[usize]) -> Vec<f32> {
        let mut y = vec![0.0; rows.len() * self.len];
        self.copy_to(rows, &mut y);
        y
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        match &self.elements {
            Floats::F32(all) => size_of_val(all.as_slice()),
            Floats::F16(all) => size_of_val(all.as_slice()),
        }
    }
}

fn picked<T: Copy>(all: &[T], rows: &[usize], len: usize) -> Vec<T> {
    let mut picked = Vec::with_capacity(rows.len() * len);
    rows.iter().for_each(|row| picked.extend_from_slice(&all[row * len..][..len]));
    picked
}
