//! What a device is timed with before the first plan: the kinds of work that can be done in several ways.

use crate::error::Result;
use crate::graph::Graph;
use crate::ops::{Conv2d, Layout, MatMul, Window};
use crate::plan::Plan;
use crate::tensor::{Tensor, TensorType};

/// A product with just enough tiles of 8×16 for all lanes.
pub(super) fn product(lanes: u64, depth: usize) -> Result<Plan> {
    let side = 8 * (lanes.isqrt() + 1) as usize;
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32([side, depth]), false)?;
    let w = g.input("w", TensorType::f32([depth, 2 * side]), false)?;
    let y = g.add("y", MatMul { trans_a: false, trans_b: false }, &[x, w])?;
    g.set_outputs(vec![y]);
    Plan::new(&g, None)
}

/// A convolution of one image with 3×3 filters: a layer of a network that makes images smaller as it makes them deeper, for 64 channels
/// with half as many pixels a side as there are lanes.
pub(super) fn convolution(lanes: u64, channels: usize) -> Result<Plan> {
    let side = (lanes.isqrt() as usize * 32 / channels).max(8);
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32([1, side, side, channels]), false)?;
    // With more digits than 16-bit floats have, as most weights.
    let filters = Tensor::f32([3, 3, channels, channels], vec![0.1; 9 * channels * channels])?;
    let w = g.constant("w", filters)?;
    let window = Window { padding: [1; 4], ..Window::default() };
    let conv = Conv2d { window, groups: 1, bias: false, residual: false, clamp: None, layout: Layout::Nhwc };
    let y = g.add("y", conv, &[x, w])?;
    g.set_outputs(vec![y]);
    Plan::new(&g, None)
}
