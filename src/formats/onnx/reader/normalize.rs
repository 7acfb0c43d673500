//! Batch norm, softmax and dropout.

use super::builder::{Builder, Form, Step, Value, unsupported};
use super::dimensions::reshape_to;
use super::node::Node;
use crate::ops::{BatchNorm, Dropout, L2Normalize, LayerNorm, Layout, Role, Softmax};
use crate::tensor::Tensor;

/// Epsilon where the attribute is left out (ONNX operator spec, BatchNormalization and LayerNormalization).
const EPSILON: f32 = 1e-5;
/// Share of the running statistics where it is left out (ONNX operator spec, BatchNormalization).
const MOMENTUM: f32 = 0.9;
/// Shorter rows are divided by this; ONNX has no such bound.
const L2_EPSILON: f32 = 1e-8;
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
    Ok(b.vertex(node.name.to_owned(), BatchNorm { epsilon, momentum, layout: Layout::Nchw, clamp: None }, &inputs)?
        .into())
}

/// Over the last dimension, the one that features lie in.
pub(super) fn layer_norm(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let epsilon = node.float("epsilon")?.unwrap_or(EPSILON);
    node.ignore(&["stash_type"]);
    let x = node.input(0)?;
    let [shape, _] = b.extents(&x)?;
    let axis = node.axis(node.int("axis")?.unwrap_or(-1), shape.len())?;
    if axis + 1 != shape.len() {
        return unsupported(format!("axis {axis} of {} dimensions", shape.len()));
    }
    let gamma = node.weights(1)?;
    if gamma.tensor.shape().len() != shape[axis] {
        return unsupported(format!("a scale of {} for {} features", gamma.tensor.shape(), shape[axis]));
    }
    let beta = match node.optional_weights(2)? {
        Some(beta) => b.parameter(beta, Role::Beta, Form::Plain)?,
        None => b.own(&format!("{}.beta", node.name), Some(Role::Beta), Tensor::zeros([shape[axis]]))?,
    };
    let inputs = [b.computed(&x)?, b.parameter(gamma, Role::Gamma, Form::Plain)?, beta];
    Ok(b.vertex(node.name.to_owned(), LayerNorm { epsilon, layout: Layout::Nhwc }, &inputs)?.into())
}

/// Over one dimension, the last one or one behind which all are 1.
pub(super) fn lp_normalization(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    if node.int("p")?.unwrap_or(2) != 2 {
        return unsupported("another norm than p = 2");
    }
    let x = node.input(0)?;
    let [shape, _] = b.extents(&x)?;
    let axis = node.axis(node.int("axis")?.unwrap_or(-1), shape.len())?;
    if shape[axis + 1..].iter().any(|&d| d != 1) {
        return unsupported(format!("axis {axis} of {} dimensions", shape.len()));
    }
    b.apply(node.name, L2Normalize { axis, epsilon: L2_EPSILON }, &[x])
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
