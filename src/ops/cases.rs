//! Inputs to try an op with.

use ndarray::ArrayD;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft_kernels::Scratch;

use super::{CpuContext, Op, Prepared, View};
use crate::error::OpError;
use crate::tensor::{Shape, TensorType};

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

    /// Types of the inputs.
    pub fn types(&self) -> Vec<TensorType> {
        self.inputs.iter().map(|i| TensorType::f32(i.shape.clone())).collect()
    }

    /// Draws the inputs; the same seed gives the same values everywhere.
    pub fn draw(&self, seed: u64) -> Vec<Vec<f32>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut drawn: Vec<Vec<f32>> = Vec::new();
        for input in &self.inputs {
            let (low, high) = input.range;
            let uniform = (0..input.shape.len()).map(|_| low + (high - low) * rng.random::<f32>());
            drawn.push(match &input.value_of {
                None => uniform.collect(),
                Some((op, of)) => {
                    let x: Vec<_> = of.iter().map(|&i| to_f64(&self.inputs[i].shape, &drawn[i])).collect();
                    op.reference(&x).iter().map(|&y| y as f32).collect()
                }
            });
        }
        drawn
    }

    /// The inputs in `f64`, for references.
    pub fn to_f64(&self, x: &[Vec<f32>]) -> Vec<ArrayD<f64>> {
        self.inputs.iter().zip(x).map(|(input, x)| to_f64(&input.shape, x)).collect()
    }

    /// Evaluates on the CPU; an updater returns its first input. With `fixed`, weights are prepared beforehand. Otherwise it
    /// runs on `other` inputs first: what they leave in working memory and packed weights must not show in the result.
    pub fn eval_cpu(&self, x: &[Vec<f32>], other: &[Vec<f32>], fixed: bool) -> Result<Vec<f32>, OpError> {
        let types = self.types();
        let types: Vec<_> = types.iter().collect();
        let len = self.op.infer(&types)?.shape.len();
        let (mut scratch, mut prepared) = (Scratch::default(), Prepared::None);
        if fixed {
            let values: Vec<_> = x.iter().map(|x| Some(x.as_slice())).collect();
            prepared = self.op.prepare(&types, &values);
        }
        let mut run = |x: &[Vec<f32>]| {
            let views: Vec<_> = types.iter().zip(x).map(|(ty, data)| View { shape: &ty.shape, data }).collect();
            let updates = self.op.updates();
            let mut state = x[..updates].to_vec();
            let mut slices: Vec<_> = state.iter_mut().map(Vec::as_mut_slice).collect();
            self.op.update_cpu(&mut slices, &views[updates..]);
            let mut y = vec![f32::NAN; len];
            let mut cx = CpuContext { scratch: &mut scratch, prepared: &mut prepared, fixed };
            self.op.eval_cpu(&mut cx, &views, &mut y);
            state.into_iter().next().unwrap_or(y)
        };
        if !fixed {
            run(other);
        }
        Ok(run(x))
    }
}

fn to_f64(shape: &Shape, x: &[f32]) -> ArrayD<f64> {
    let mut array = ArrayD::zeros(shape.to_vec());
    array.iter_mut().zip(x).for_each(|(a, &x)| *a = f64::from(x));
    array
}
