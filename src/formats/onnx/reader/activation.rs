//! Elementwise functions of one value.

use super::builder::{Builder, Step, Value, unsupported};
use super::node::Node;
use crate::ops::{Activate, Clamp, Clip, Function, Maximum, Scale, Sigmoid};

/// Factors of Selu where the attributes are left out (ONNX operator spec, Selu); others are not read.
const SELU: [f32; 2] = [1.673_263_2, 1.050_701];
/// Writers round these to few digits.
const SELU_ROUNDING: f32 = 1e-4;

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

fn activate(b: &mut Builder, node: &Node<'_>, function: Function) -> Step<Value> {
    let x = node.input(0)?;
    b.apply(node.name, Activate { function }, &[x])
}

pub(super) fn leaky_relu(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let alpha = node.float("alpha")?.unwrap_or(0.01);
    activate(b, node, Function::LeakyRelu { alpha })
}

/// With one slope for all channels.
pub(super) fn p_relu(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    match node.weights(1)?.tensor.as_f32() {
        Some([alpha]) => activate(b, node, Function::LeakyRelu { alpha: *alpha }),
        _ => unsupported("a slope per channel"),
    }
}

pub(super) fn elu(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let alpha = node.float("alpha")?.unwrap_or(1.0);
    activate(b, node, Function::Elu { alpha })
}

pub(super) fn selu(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let found = [node.float("alpha")?, node.float("gamma")?];
    let differs = |(found, usual): (Option<f32>, f32)| found.is_some_and(|f| (f - usual).abs() > SELU_ROUNDING);
    if found.into_iter().zip(SELU).any(differs) {
        return unsupported(format!("other factors than {SELU:?}"));
    }
    activate(b, node, Function::Selu)
}

pub(super) fn gelu(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    match node.text("approximate")? {
        None | Some("none") => activate(b, node, Function::Gelu),
        Some("tanh") => activate(b, node, Function::GeluTanh),
        Some(other) => unsupported(format!("approximate '{other}'")),
    }
}

pub(super) fn hard_sigmoid(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let (alpha, beta) = (node.float("alpha")?.unwrap_or(0.2), node.float("beta")?.unwrap_or(0.5));
    activate(b, node, Function::HardSigmoid { alpha, beta })
}

pub(super) fn hard_swish(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    activate(b, node, Function::HardSwish)
}

pub(super) fn mish(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    activate(b, node, Function::Mish)
}

pub(super) fn tanh(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    activate(b, node, Function::Tanh)
}

pub(super) fn softplus(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    activate(b, node, Function::Softplus)
}

pub(super) fn softsign(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    activate(b, node, Function::Softsign)
}

pub(super) fn erf(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    activate(b, node, Function::Erf)
}

pub(super) fn reciprocal(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    activate(b, node, Function::Reciprocal)
}

/// The number that a value is compared with, which is how some exporters write relu6.
fn bound(b: &Builder, inputs: &[Value]) -> Step<Option<(Value, f32)>> {
    let ([x, Value::Weights(bound)] | [Value::Weights(bound), x]) = inputs else { return Ok(None) };
    Ok(match bound.tensor.as_f32() {
        Some([value]) if bound.tensor.shape().rank() <= b.rank(x)? => Some((x.clone(), *value)),
        _ => None,
    })
}

/// The largest of any number of values.
fn largest(b: &mut Builder, node: &Node<'_>, inputs: &[Value], result: Option<&str>) -> Step<Value> {
    let [first, inner @ .., last] = inputs else {
        return inputs.first().cloned().ok_or_else(|| node.fail("no inputs"));
    };
    let mut largest = first.clone();
    for value in inner {
        let pair = [b.computed(&largest)?, b.computed(value)?];
        largest = b.part(node.name, "largest", Maximum, &pair)?.into();
    }
    let pair = [b.computed(&largest)?, b.computed(last)?];
    Ok(match result {
        Some(part) => b.part(node.name, part, Maximum, &pair)?,
        None => b.vertex(node.name.to_owned(), Maximum, &pair)?,
    }
    .into())
}

pub(super) fn max(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let inputs = node.inputs()?;
    match bound(b, &inputs)? {
        Some((x, bound)) => b.apply(node.name, Clip { clamp: Clamp { min: Some(bound), max: None } }, &[x]),
        None => largest(b, node, &inputs, None),
    }
}

/// `min(a, b) = −max(−a, −b)`.
pub(super) fn min(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let inputs = node.inputs()?;
    if let Some((x, bound)) = bound(b, &inputs)? {
        return b.apply(node.name, Clip { clamp: Clamp { min: None, max: Some(bound) } }, &[x]);
    }
    if let [only] = inputs.as_slice() {
        return Ok(only.clone());
    }
    let negative = Scale { factor: -1.0 };
    let mut negatives = Vec::with_capacity(inputs.len());
    for value in &inputs {
        let x = b.computed(value)?;
        negatives.push(b.part(node.name, "negative", negative.clone(), &[x])?.into());
    }
    let largest = largest(b, node, &negatives, Some("smallest"))?;
    b.apply(node.name, negative, &[largest])
}
