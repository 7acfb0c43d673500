//! Batch norm, softmax and dropout.

use super::builder::{Builder, Form, Step, Value, unsupported};
use super::dimensions::reshape_to;
use super::node::Node;
use crate::ops::{BatchNorm, Dropout, Layout, Role, Softmax};

/// Epsilon where the attribute is left out (ONNX operator spec, BatchNormalization).
const EPSILON: f32 = 1e-5;
/// Momentum where it is left out (same place).
const MOMENTUM: f32 = 0.9;
/// Ratio where it is left out (ONNX operator spec, Dropout).
const RATIO: f32 = 0.5;

pub(super) fn batch_norm(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let epsilon = node.float("epsilon")?.unwrap_or(EPSILON);
    let momentum = node.float("momentum")?.unwrap_or(MOMENTUM);
    node.ignore(&["consumed_inputs", "is_test"]);
    if node.int("spatial")?.unwrap_or(1) == 0 {
        return unsupported("statistics per position (spatial = 0)");
    }
    if node.flag("training_mode")? {
        return unsupported("training_mode");
    }
    let x = node.input(0)?;
    let rank = b.rank(&x)?;
    if rank != 2 && rank != 4 {
        return unsupported(format!("{rank} dimensions"));
    }
    let mut inputs = vec![b.computed(&x)?];
    for (at, role) in [(1, Role::Gamma), (2, Role::Beta), (3, Role::Mean), (4, Role::Variance)] {
        let weights = node.weights(at)?;
        inputs.push(b.parameter(weights, role, Form::Plain)?);
    }
    Ok(b.vertex(node.name.to_owned(), BatchNorm { epsilon, momentum, layout: Layout::Nchw }, &inputs)?.into())
}

/// Along one dimension since operator set 13; before, over all dimensions from `axis` on.
pub(super) fn softmax(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let together = node.opset < 13;
    let axis = node.int("axis")?.unwrap_or(if together { 1 } else { -1 });
    let x = node.input(0)?;
    let [shape, many] = b.extents(&x)?;
    let axis = node.axis(axis, shape.len())?;
    let mut extended = (axis..shape.len()).filter(|&d| together && many[d] != 1);
    match (extended.next(), extended.next()) {
        (None, _) => b.apply(node.name, Softmax { axis }, &[x]),
        (Some(only), None) => b.apply(node.name, Softmax { axis: only }, &[x]),
        (Some(_), Some(_)) => {
            let extents = b.extents(&x)?;
            let rows = extents.clone().map(|e| vec![e[..axis].iter().product(), e[axis..].iter().product()]);
            let rows = reshape_to(b, node, Some("rows"), &x, rows)?;
            let rows = b.computed(&rows)?;
            let softmax = b.part(node.name, "softmax", Softmax { axis: 1 }, &[rows])?;
            reshape_to(b, node, None, &softmax.into(), extents)
        }
    }
}

/// The rate became an input with operator set 12.
pub(super) fn dropout(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    node.ignore(&["seed", "is_test"]);
    let ratio = if node.opset < 12 { node.float("ratio")? } else { node.optional_scalar(1)? };
    let training = node.optional_constants(2)?.unwrap_or_default();
    if training.iter().any(|t| *t != 0) {
        return unsupported("training_mode");
    }
    let x = node.input(0)?;
    b.apply(node.name, Dropout { rate: ratio.unwrap_or(RATIO) }, &[x])
}
