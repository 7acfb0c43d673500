//! Sums, differences, products and quotients: of values of the network, and of integers known while reading.

use super::builder::{Builder, Step, Value, Weights, unsupported};
use super::integers::{Int, Ints};
use super::node::Node;
use crate::graph::VertexId;
use crate::ops::{Activate, Add, Function, Multiply, Op, Role, Scale, Shift};
use crate::tensor::Tensor;

/// The result where both inputs are integers.
fn integers(node: &Node<'_>, f: fn(Int, Int) -> Option<Int>) -> Step<Option<Value>> {
    let (Value::Integers(a), Value::Integers(b)) = (node.input(0)?, node.input(1)?) else { return Ok(None) };
    match a.zip(&b, f) {
        Some(result) => Ok(Some(result.into())),
        None => unsupported("a computation of shapes that does not grow evenly with the batch"),
    }
}

pub(super) fn add(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    if let Some(result) = integers(node, Int::add)? {
        return Ok(result);
    }
    let (x, y) = (node.input(0)?, node.input(1)?);
    if let Some((value, by)) = with_number(b, &x, &y)? {
        return b.apply(node.name, Shift { by }, &[value]);
    }
    match (&x, &y) {
        (Value::Vertex(id), Value::Weights(bias)) | (Value::Weights(bias), Value::Vertex(id)) => {
            match bias_of_dense(b, *id, bias)? {
                Some(bias) => Ok(b.vertex(node.name.to_owned(), Add, &[*id, bias])?.into()),
                None => b.apply(node.name, Add, &[x, y]),
            }
        }
        _ => b.apply(node.name, Add, &[x, y]),
    }
}

/// A sum of any number of values.
pub(super) fn sum(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let inputs = node.inputs()?;
    let [first, inner @ .., last] = inputs.as_slice() else {
        return match inputs.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(node.fail("no inputs")),
        };
    };
    let mut total = first.clone();
    for value in inner {
        let pair = [b.computed(&total)?, b.computed(value)?];
        total = b.part(node.name, "sum", Add, &pair)?.into();
    }
    b.apply(node.name, Add, &[total, last.clone()])
}

/// What is added per column to a dense layer without bias is its bias, even as a node of its own: it is trained with the layer.
fn bias_of_dense(b: &mut Builder, x: VertexId, bias: &Weights) -> Step<Option<VertexId>> {
    let vertex = b.graph.get(x);
    let is_dense = matches!(&vertex.op, Op::Dense(dense) if !dense.bias);
    let columns = vertex.ty.shape.last().copied();
    if !is_dense || bias.tensor.shape().rank() != 1 || bias.tensor.shape().last().copied() != columns {
        return Ok(None);
    }
    b.parameter(bias.clone(), Role::Bias, super::builder::Form::Plain).map(Some)
}

/// A new stored value of the same shape.
fn mapped(b: &mut Builder, weights: &Weights, f: fn(f32) -> f32) -> Step<Value> {
    let values = weights.tensor.as_f32().unwrap_or_default().iter().map(|v| f(*v)).collect();
    let tensor = Tensor::f32(weights.tensor.shape().clone(), values)?;
    Ok(b.weights(&weights.name, tensor))
}

/// `a − b` is `a + (−b)`.
pub(super) fn sub(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    if let Some(result) = integers(node, Int::sub)? {
        return Ok(result);
    }
    let (x, y) = (node.input(0)?, node.input(1)?);
    let negative = match &y {
        Value::Weights(weights) => mapped(b, weights, |v| -v)?,
        value => {
            let y = b.computed(value)?;
            b.part(node.name, "negative", Scale { factor: -1.0 }, &[y])?.into()
        }
    };
    if let Some((value, by)) = with_number(b, &x, &negative)? {
        return b.apply(node.name, Shift { by }, &[value]);
    }
    b.apply(node.name, Add, &[x, negative])
}

pub(super) fn mul(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    if let Some(result) = integers(node, Int::mul)? {
        return Ok(result);
    }
    multiply(b, node, node.input(0)?, node.input(1)?)
}

/// By one stored number, it is a scale.
fn multiply(b: &mut Builder, node: &Node<'_>, x: Value, y: Value) -> Step<Value> {
    if let Some((value, factor)) = with_number(b, &x, &y)? {
        return b.apply(node.name, Scale { factor }, &[value]);
    }
    b.apply(node.name, Multiply, &[x, y])
}

/// A value of the network and a stored number that does not broadcast it.
fn with_number(b: &Builder, x: &Value, y: &Value) -> Step<Option<(Value, f32)>> {
    let (value, weights) = match (x, y) {
        (value @ Value::Vertex(_), Value::Weights(weights)) | (Value::Weights(weights), value @ Value::Vertex(_)) => {
            (value, weights)
        }
        _ => return Ok(None),
    };
    let fits = weights.tensor.shape().rank() <= b.rank(value)?;
    Ok(match weights.tensor.as_f32() {
        Some([factor]) if fits => Some((value.clone(), *factor)),
        _ => None,
    })
}

/// `a / b` is `a · (1/b)`.
pub(super) fn div(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    if let Some(result) = integers(node, Int::div)? {
        return Ok(result);
    }
    let (x, y) = (node.input(0)?, node.input(1)?);
    match &y {
        Value::Weights(weights) => {
            let inverse = mapped(b, weights, |v| 1.0 / v)?;
            multiply(b, node, x, inverse)
        }
        Value::Integers(_) => unsupported("floats divided by integers"),
        divisor => {
            let divisor = b.computed(divisor)?;
            let inverse = Activate { function: Function::Reciprocal };
            let inverse = b.part(node.name, "inverse", inverse, &[divisor])?;
            b.apply(node.name, Multiply, &[x, inverse.into()])
        }
    }
}

/// The product of all elements of a shape, which exporters use to flatten.
pub(super) fn reduce_prod(_: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let keep = node.int("keepdims")?.unwrap_or(1) != 0;
    node.ignore(&["noop_with_empty_axes"]);
    let axes = node.ints_or_input(18, "axes", 1)?;
    let x = node.integers(0)?;
    if x.shape.len() > 1 || axes.is_some_and(|axes| axes.iter().any(|a| *a != 0 && *a != -1)) {
        return unsupported("other than the product of all elements of a vector");
    }
    let product = x.values.iter().try_fold(Int::fixed(1), |product, v| product.mul(*v));
    let Some(product) = product else { return unsupported("a product that does not grow evenly with the batch") };
    let shape = if keep && !x.shape.is_empty() { vec![1] } else { vec![] };
    Ok(Ints { shape, values: vec![product] }.into())
}
