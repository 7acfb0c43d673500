//! Matrix products.

use super::builder::{Builder, Form, Step, Value, Weights, unsupported};
use super::node::Node;
use crate::graph::VertexId;
use crate::ops::{Add, Dense, Dim, MatMul, Reshape, Role, Scale, Transpose};
use crate::tensor::Tensor;

/// `alpha · A' · B' + beta · C` (ONNX operator spec, Gemm). With a stored matrix `B` it is a dense layer.
pub(super) fn gemm(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let (trans_a, trans_b) = (node.flag("transA")?, node.flag("transB")?);
    let alpha = node.float("alpha")?.unwrap_or(1.0);
    let beta = node.float("beta")?.unwrap_or(1.0);
    // Operator set 6 and below.
    node.ignore(&["broadcast"]);
    let (a, matrix, c) = (node.input(0)?, node.input(1)?, node.optional(2)?);
    let c = c.filter(|_| beta != 0.0);
    let Value::Weights(weights) = &matrix else {
        let (a, matrix) = (b.computed(&a)?, b.computed(&matrix)?);
        return product(b, node, [a, matrix], MatMul { trans_a, trans_b }, alpha, c, beta);
    };
    let [rows, cols] = weights.tensor.shape()[..] else {
        return Err(node.mismatch(b, "dense", format!("B is {}, no matrix", weights.tensor.shape())));
    };
    let n = if trans_b { rows } else { cols };
    let bias = match &c {
        None => None,
        Some(Value::Weights(c)) => match row(&c.tensor, n) {
            Some(bias) => Some((c.clone(), bias)),
            None => {
                let (a, matrix) = (b.computed(&a)?, b.computed(&matrix)?);
                return product(
                    b,
                    node,
                    [a, matrix],
                    MatMul { trans_a, trans_b },
                    alpha,
                    Some(Value::Weights(c.clone())),
                    beta,
                );
            }
        },
        Some(_) => return unsupported("input 2 computed by the network"),
    };

    let mut x = b.computed(&a)?;
    if trans_a {
        x = b.part(node.name, "transposed", Transpose { perm: vec![1, 0] }, &[x])?;
    }
    let mut inputs = vec![x, matrix_parameter(b, weights.clone(), trans_b, alpha)?];
    if let Some((stored, values)) = bias {
        inputs.push(bias_parameter(b, stored, values, beta)?);
    }
    let op = Dense { bias: inputs.len() == 3, clamp: None };
    Ok(b.vertex(node.name.to_owned(), op, &inputs)?.into())
}

fn matrix_parameter(b: &mut Builder, weights: Weights, transposed: bool, alpha: f32) -> Step<VertexId> {
    let form = if transposed { Form::Transposed } else { Form::Plain };
    if alpha == 1.0 {
        return b.parameter(weights, Role::Weight, form);
    }
    let scaled = scaled(&weights.tensor, alpha)?;
    let scaled = if transposed { scaled.permute(&[1, 0])? } else { scaled };
    Ok(b.own(&weights.name, Some(Role::Weight), scaled)?)
}

fn bias_parameter(b: &mut Builder, stored: Weights, values: Tensor, beta: f32) -> Step<VertexId> {
    if beta == 1.0 && *stored.tensor == values {
        return b.parameter(stored, Role::Bias, Form::Plain);
    }
    let scaled = scaled(&values, beta)?;
    Ok(b.own(&stored.name, Some(Role::Bias), scaled)?)
}

/// A bias of one value a column, from a stored value that is broadcast to the rows; `None` where it differs from row to row.
fn row(c: &Tensor, n: usize) -> Option<Tensor> {
    let values = c.as_f32()?;
    let leading = c.shape().split_last().map_or(&[][..], |(_, leading)| leading);
    if leading.len() > 1 || leading.iter().any(|&d| d != 1) {
        return None;
    }
    match values {
        [value] => Tensor::f32([n], vec![*value; n]).ok(),
        values if values.len() == n => Tensor::f32([n], values.to_vec()).ok(),
        _ => None,
    }
}

fn scaled(tensor: &Tensor, factor: f32) -> Step<Tensor> {
    let values = tensor.as_f32().unwrap_or_default().iter().map(|v| v * factor).collect();
    Ok(Tensor::f32(tensor.shape().clone(), values)?)
}

/// A product that is no dense layer, with what Gemm adds to it.
fn product(
    b: &mut Builder,
    node: &Node<'_>,
    inputs: [VertexId; 2],
    op: MatMul,
    alpha: f32,
    c: Option<Value>,
    beta: f32,
) -> Step<Value> {
    let name = node.name.to_owned();
    let scales = alpha != 1.0;
    if !scales && c.is_none() {
        return Ok(b.vertex(name, op, &inputs)?.into());
    }
    let mut y = b.part(node.name, "product", op, &inputs)?;
    if scales {
        let op = Scale { factor: alpha };
        y = if c.is_some() { b.part(node.name, "scaled", op, &[y])? } else { b.vertex(name.clone(), op, &[y])? };
    }
    let Some(c) = c else { return Ok(y.into()) };
    let mut c = b.computed(&c)?;
    if beta != 1.0 {
        c = b.part(node.name, "added", Scale { factor: beta }, &[c])?;
    }
    Ok(b.vertex(name, Add, &[y, c])?.into())
}

/// A product with a stored matrix is a dense layer without bias; the rows of larger values are taken together.
pub(super) fn matmul(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let (a, matrix) = (node.input(0)?, node.input(1)?);
    let (rank, other) = (b.rank(&a)?, b.rank(&matrix)?);
    if rank < 2 || other != 2 {
        return unsupported(format!("a product of {rank} and {other} dimensions"));
    }
    let name = node.name.to_owned();
    let x = b.computed(&a)?;
    let Value::Weights(weights) = matrix else {
        if rank > 2 {
            return unsupported(format!("a product of {rank} and {other} dimensions"));
        }
        let matrix = b.computed(&matrix)?;
        return Ok(b.vertex(name, MatMul { trans_a: false, trans_b: false }, &[x, matrix])?.into());
    };
    let (k, n) = (weights.tensor.shape()[0], weights.tensor.shape()[1]);
    let w = b.parameter(weights, Role::Weight, Form::Plain)?;
    let dense = Dense { bias: false, clamp: None };
    if rank == 2 {
        return Ok(b.vertex(name, dense, &[x, w])?.into());
    }
    let mut dims: Vec<Dim> = b
        .shape(&a)?
        .iter()
        .map(|d| d.constant().and_then(|d| usize::try_from(d).ok()))
        .map(|d| d.map_or(Dim::Infer, Dim::Fixed))
        .collect();
    if let Some(last) = dims.last_mut() {
        *last = Dim::Fixed(n);
    }
    let rows = b.part(node.name, "rows", Reshape { dims: vec![Dim::Infer, Dim::Fixed(k)] }, &[x])?;
    let product = b.part(node.name, "product", dense, &[rows, w])?;
    Ok(b.vertex(name, Reshape { dims }, &[product])?.into())
}
