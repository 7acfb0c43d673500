//! Inputs to try an op with.

use super::Op;
use crate::tensor::Shape;

/// One input of a case; elements are drawn uniformly from the range.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseInput {
    /// Extent of each dimension.
    pub shape: Shape,
    /// Smallest and largest element.
    pub range: (f32, f32),
    /// Whether the op claims a gradient here.
    pub differentiable: bool,
    /// An op and the inputs of the case whose value this input is, instead of being drawn.
    pub value_of: Option<(Op, Vec<usize>)>,
}

/// An op with inputs to try.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The op with its attributes.
    pub op: Op,
    /// Its inputs.
    pub inputs: Vec<CaseInput>,
}

impl Case {
    /// Inputs of these shapes, elements in −1..1, all differentiable.
    pub fn new<const N: usize>(op: impl Into<Op>, shapes: [&[usize]; N]) -> Self {
        let input = |s: &&[usize]| CaseInput {
            shape: Shape::from(*s),
            range: (-1.0, 1.0),
            differentiable: true,
            value_of: None,
        };
        Self { op: op.into(), inputs: shapes.iter().map(input).collect() }
    }

    /// Draws input `index` from another range.
    #[must_use]
    pub fn range(mut self, index: usize, low: f32, high: f32) -> Self {
        self.inputs[index].range = (low, high);
        self
    }

    /// Says that no gradient is claimed for input `index`.
    #[must_use]
    pub fn constant(mut self, index: usize) -> Self {
        self.inputs[index].differentiable = false;
        self
    }

    /// Makes input `index` the value of `op` on earlier inputs.
    #[must_use]
    pub fn value_of(mut self, index: usize, op: impl Into<Op>, of: &[usize]) -> Self {
        self.inputs[index].value_of = Some((op.into(), of.to_vec()));
        self
    }
}
