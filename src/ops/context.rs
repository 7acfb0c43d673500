//! What an op's CPU evaluation gets to work with.

use std::sync::Arc;

use regraft_kernels::{PackedB, PackedConv, PackedTaps, Scratch};

use crate::tensor::Shape;

/// A value an op reads.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Extent of each dimension.
    pub shape: &'a Shape,
    /// Elements, row-major.
    pub data: &'a [f32],
}

/// Weights in the form a kernel reads; copies share them.
#[derive(Debug, Default, Clone)]
pub enum Prepared {
    /// Nothing was prepared.
    #[default]
    None,
    /// Panels of a matrix.
    Matrix(Arc<PackedB>),
    /// Panels of convolution filters.
    Conv(Arc<PackedConv>),
    /// Taps of depthwise filters.
    Taps(Arc<PackedTaps>),
}

impl Prepared {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Matrix(b) => b.bytes(),
            Self::Conv(w) => w.bytes(),
            Self::Taps(w) => w.bytes(),
        }
    }
}

/// Memory and prepared weights of the step at work.
#[derive(Debug)]
pub struct CpuContext<'a> {
    /// Buffers that kernels borrow and give back.
    pub scratch: &'a mut Scratch,
    /// The step's prepared weights.
    pub prepared: &'a mut Prepared,
    /// Whether `prepared` already holds the weights; otherwise they change from run to run and are packed anew.
    pub fixed: bool,
}

#[cfg(test)]
mod tests {
    use super::super::all_cases;

    #[test]
    fn prepared_weights_take_the_floats_that_were_announced() {
        let mut prepares = 0;
        for case in all_cases() {
            let types = case.types();
            let types: Vec<_> = types.iter().collect();
            let x: Vec<Vec<f32>> = types.iter().map(|ty| vec![1.0; ty.shape.len()]).collect();
            let values: Vec<_> = x.iter().map(|x| Some(x.as_slice())).collect();
            let announced = case.op.prepared_len(&types).unwrap_or(0);
            assert_eq!(case.op.prepare(&types, &values).bytes(), announced * 4, "{:?}", case.op);
            prepares += usize::from(announced > 0);
        }
        assert!(prepares > 10, "only {prepares} cases prepare weights");
    }
}
