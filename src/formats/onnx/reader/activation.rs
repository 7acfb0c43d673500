//! Elementwise functions of one value.

use super::builder::{Builder, Step, Value, unsupported};
use super::node::Node;
use crate::ops::{Clamp, Clip, Sigmoid};

fn clip(b: &mut Builder, node: &Node<'_>, clamp: Clamp) -> Step<Value> {
    let x = node.input(0)?;
    b.apply(node.name, Clip { clamp }, &[x])
}

pub(super) fn relu(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    clip(b, node, Clamp::RELU)
}

/// The bounds became inputs with operator set 11.
pub(super) fn clip_between(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let (min, max) = if node.opset < 11 {
        (node.float("min")?, node.float("max")?)
    } else {
        (node.optional_scalar(1)?, node.optional_scalar(2)?)
    };
    // The widest floats are the defaults of operator set 6.
    let (min, max) = (min.filter(|v| *v > f32::MIN), max.filter(|v| *v < f32::MAX));
    // With bounds in the wrong order, the upper one wins (ONNX operator spec, Clip).
    let min = min.map(|low| max.filter(|&high| high < low).unwrap_or(low));
    clip(b, node, Clamp { min, max })
}

pub(super) fn sigmoid(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let x = node.input(0)?;
    b.apply(node.name, Sigmoid, &[x])
}

/// The larger or smaller of a value and a stored number, which is how some exporters write relu6.
fn bounded(b: &mut Builder, node: &Node<'_>, clamp: fn(f32) -> Clamp) -> Step<Value> {
    let (x, bound) = match node.inputs()?.as_slice() {
        [x, Value::Weights(bound)] | [Value::Weights(bound), x] => (x.clone(), bound.clone()),
        _ => return unsupported("other than a value and a stored number"),
    };
    match bound.tensor.as_f32() {
        Some([bound_value]) if bound.tensor.shape().rank() <= b.rank(&x)? => {
            b.apply(node.name, Clip { clamp: clamp(*bound_value) }, &[x])
        }
        _ => unsupported("a stored tensor as a bound"),
    }
}

pub(super) fn max(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    bounded(b, node, |bound| Clamp { min: Some(bound), max: None })
}

pub(super) fn min(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    bounded(b, node, |bound| Clamp { min: None, max: Some(bound) })
}
