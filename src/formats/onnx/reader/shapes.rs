//! Constants, and what exporters compute from shapes.

use super::super::proto::data_type;
use super::super::tensor::{self, Stored};
use super::builder::{Builder, Step, Value, unsupported};
use super::integers::{Int, Ints, axis};
use super::node::Node;
use crate::tensor::Tensor;

/// A tensor of the file as a value.
pub(super) fn stored(b: &mut Builder, name: &str, stored: Stored) -> Step<Value> {
    match stored {
        Stored::Floats(tensor) => Ok(b.weights(name, tensor)),
        Stored::Integers(shape, values) => Ok(Ints::new(shape, &values).into()),
        Stored::Unsupported(kind) => unsupported(format!("a tensor of {kind}")),
    }
}

pub(super) fn constant(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let name = node.outputs().first().map_or(node.name, String::as_str);
    if let Some(value) = node.tensor("value")? {
        let value = tensor::read(value.clone(), &tensor::Files::new())?;
        return stored(b, name, value);
    }
    if let Some(value) = node.float("value_float")? {
        return Ok(b.weights(name, Tensor::scalar(value)));
    }
    if let Some(values) = node.floats("value_floats")? {
        return Ok(b.weights(name, Tensor::f32([values.len()], values.to_vec())?));
    }
    if let Some(value) = node.int("value_int")? {
        return Ok(Ints::new(vec![], &[value]).into());
    }
    match node.ints("value_ints")? {
        Some(values) => Ok(Ints::new(vec![values.len()], &values).into()),
        None => unsupported("a value that is neither float nor integer"),
    }
}

/// All extents, or those from `start` to `end` (operator set 15).
pub(super) fn shape(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let (start, end) = (node.int("start")?.unwrap_or(0), node.int("end")?);
    let shape = b.shape(&node.input(0)?)?;
    let rank = i64::try_from(shape.len()).unwrap_or(i64::MAX);
    let index = |at: i64| if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank);
    let (start, end) = (index(start), index(end.unwrap_or(rank)));
    let taken = usize::try_from(end - start).unwrap_or(0);
    let skipped = usize::try_from(start).unwrap_or(0);
    Ok(Ints::vector(shape.into_iter().skip(skipped).take(taken).collect()).into())
}

/// Elements of a vector of integers.
pub(super) fn gather(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let along = node.int("axis")?.unwrap_or(0);
    let (data, indices) = (node.integers(0)?, node.integers(1)?);
    if data.shape.len() != 1 || axis(along, 1).is_none() {
        return unsupported("integers of more than one dimension");
    }
    b.charge_integers(indices.values.len())?;
    let pick = |index: &Int| axis(index.constant()?, data.values.len()).map(|at| data.values[at]);
    let values: Option<Vec<Int>> = indices.values.iter().map(pick).collect();
    let values = values.ok_or_else(|| node.fail(format!("an index lies outside of {} elements", data.values.len())))?;
    Ok(Ints { shape: indices.shape.clone(), values }.into())
}

pub(super) fn constant_of_shape(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let value = node.tensor("value")?.cloned();
    let dims = node.constants(0)?;
    let shape: Option<Vec<usize>> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = shape.ok_or_else(|| node.fail(format!("no tensor is {dims:?}")))?;
    let len = shape.iter().try_fold(1usize, |len, &d| len.checked_mul(d)).unwrap_or(usize::MAX);
    let value = match value {
        Some(value) => tensor::read(value, &tensor::Files::new())?,
        None => Stored::Floats(Tensor::zeros([1])),
    };
    let single = || node.fail("its value is not a single element");
    match value {
        Stored::Floats(value) => match value.as_f32() {
            Some([value]) => {
                b.charge_floats(len)?;
                Ok(b.weights(node.name, Tensor::f32(shape, vec![*value; len])?))
            }
            _ => Err(single()),
        },
        Stored::Integers(_, values) => match values[..] {
            [value] => {
                b.charge_integers(len)?;
                Ok(Ints { shape, values: vec![Int::fixed(value); len] }.into())
            }
            _ => Err(single()),
        },
        Stored::Unsupported(kind) => unsupported(format!("a tensor of {kind}")),
    }
}

/// Floats of all sizes are one type here, and so are integers; what is computed by the network stays a float.
pub(super) fn cast(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let to = i32::try_from(node.int("to")?.unwrap_or_default()).unwrap_or_default();
    node.ignore(&["saturate", "round_mode"]);
    let floats = matches!(to, data_type::FLOAT | data_type::FLOAT16 | data_type::BFLOAT16 | data_type::DOUBLE);
    let integers = matches!(to, data_type::INT64 | data_type::INT32);
    let x = node.input(0)?;
    match &x {
        Value::Integers(_) if integers => Ok(x),
        Value::Integers(ints) if floats => match ints.constants() {
            Some(values) => {
                let tensor = Tensor::f32(ints.shape.clone(), values.iter().map(|v| *v as f32).collect())?;
                Ok(b.weights(node.name, tensor))
            }
            None => unsupported("floats that depend on the batch"),
        },
        Value::Weights(weights) if integers => {
            let values: Vec<i64> = weights.tensor.as_f32().unwrap_or_default().iter().map(|v| *v as i64).collect();
            Ok(Ints::new(weights.tensor.shape().to_vec(), &values).into())
        }
        Value::Vertex(_) | Value::Weights(_) if floats => Ok(x),
        _ => unsupported(format!("to {}", data_type::name(to))),
    }
}
