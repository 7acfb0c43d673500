//! Existing layers fitted to inputs whose shape an edit changed: which of their parameters get another shape.

use super::init::WeightInit;
use crate::error::OpError;
use crate::ops::{Dim, Op, Reshape, Role};
use crate::tensor::{Shape, Tensor, TensorType};

/// What an op reads.
pub(super) struct Operand<'a> {
    /// Type in the source.
    pub(super) old: &'a TensorType,
    /// Type now; `None` for stored values, which are what is to be fitted.
    pub(super) new: Option<&'a TensorType>,
}

/// The op as it fits its inputs, and the shapes of its stored operands where the op prescribes them.
pub(super) struct Fit {
    pub(super) op: Op,
    pub(super) shapes: Vec<(usize, Shape)>,
}

/// Fits an op. With `n_out`, it gets that many results.
///
/// # Errors
/// Where groups do not divide the channels, or `n_out` is asked of an op whose results are as many as its channels.
pub(super) fn fit(op: &Op, x: &[Operand<'_>], n_out: Option<usize>) -> Result<Fit, OpError> {
    let none = Fit { op: op.clone(), shapes: Vec::new() };
    let (Some(first), Some(new)) = (x.first(), x.first().and_then(|x| x.new)) else { return Ok(none) };
    let (old, new) = (&first.old.shape, &new.shape);
    let stored = |at: usize| x.get(at).filter(|x| x.new.is_none()).map(|x| &x.old.shape);
    let same_size = |what: &str| match n_out {
        Some(n) => Err(OpError::new(format!("{what} has as many results as channels; it cannot have {n}"))),
        None => Ok(()),
    };
    let (op, shapes) = match op {
        Op::Dense(_) => {
            let (Some(w), Some(k)) = (stored(1), new.get(1)) else { return Ok(none) };
            let n = n_out.unwrap_or(w[1]);
            (op.clone(), vec![(1, [*k, n].into()), (2, [n].into())])
        }
        Op::Conv2d(conv) => {
            let Some(w) = stored(1) else { return Ok(none) };
            let ([.., before], [.., c]) = (conv.layout.sizes(old)?, conv.layout.sizes(new)?);
            let mut conv = conv.clone();
            let mut m = w[3];
            // A filter bank a channel, as some files spell depthwise convolutions, grows with the channels.
            if conv.groups == before && before > 1 {
                (conv.groups, m) = (c, m / before * c);
            }
            let m = n_out.unwrap_or(m);
            if !c.is_multiple_of(conv.groups) || !m.is_multiple_of(conv.groups) {
                return Err(OpError::new(format!("{} groups do not divide {c} into {m} channels", conv.groups)));
            }
            let w = [w[0], w[1], c / conv.groups, m];
            (conv.into(), vec![(1, w.into()), (2, [m].into())])
        }
        Op::DepthwiseConv2d(conv) => {
            same_size("a depthwise convolution")?;
            let Some(w) = stored(1) else { return Ok(none) };
            let [.., c] = conv.layout.sizes(new)?;
            (op.clone(), vec![(1, [w[0], w[1], c].into()), (2, [c].into())])
        }
        Op::BatchNorm(norm) => {
            same_size("a batch norm")?;
            let c = if new.rank() == 4 { norm.layout.sizes(new)?[3] } else { new[new.rank() - 1] };
            (op.clone(), (1..5).map(|at| (at, [c].into())).collect())
        }
        Op::LayerNorm(norm) => {
            same_size("a layer norm")?;
            let c = if new.rank() == 4 { norm.layout.sizes(new)?[3] } else { new.last().copied().unwrap_or(1) };
            (op.clone(), vec![(1, [c].into()), (2, [c].into())])
        }
        Op::Reshape(reshape) => (fit_reshape(reshape, old, new).into(), Vec::new()),
        _ => {
            same_size(op.name())?;
            let fitted = |at: usize| Some((at, aligned(stored(at)?, old, new)));
            (op.clone(), (1..x.len()).filter_map(fitted).collect())
        }
    };
    Ok(Fit { op, shapes: shapes.into_iter().filter(|(at, _)| stored(*at).is_some()).collect() })
}

/// A stored operand that is broadcast against the first one: where it had that one's extent, it keeps having it.
fn aligned(stored: &Shape, old: &Shape, new: &Shape) -> Shape {
    let mut dims = stored.to_vec();
    let (rank, shift) = (dims.len(), old.rank().saturating_sub(dims.len()));
    if old.rank() == new.rank() && rank <= old.rank() {
        for (at, dim) in dims.iter_mut().enumerate().filter(|(_, dim)| **dim != 1) {
            if *dim == old[at + shift] {
                *dim = new[at + shift];
            }
        }
    }
    dims.into()
}

/// Extents that were the input's features or channels follow them.
fn fit_reshape(reshape: &Reshape, old: &Shape, new: &Shape) -> Reshape {
    let features = |shape: &Shape| shape.iter().skip(1).product::<usize>();
    let fitted = |dim: &Dim| match dim {
        Dim::Fixed(n) if *n > 1 && *n == features(old) => Dim::Fixed(features(new)),
        Dim::Fixed(n) if *n > 1 && old.get(1) == Some(n) => Dim::Fixed(new.get(1).copied().unwrap_or(*n)),
        dim => *dim,
    };
    Reshape { dims: reshape.dims.iter().map(fitted).collect() }
}

/// A parameter drawn anew. `biases` is the first value of biases.
pub(super) fn drawn(name: &str, role: Role, shape: &Shape, init: WeightInit, biases: f32, seed: u64) -> Tensor {
    let fill = |value: f32| {
        let mut tensor = Tensor::zeros(shape.clone());
        if let Some(values) = tensor.as_f32_mut() {
            values.fill(value);
        }
        tensor
    };
    match role {
        Role::Weight => init.draw(shape.clone(), fans(shape), seed, name),
        Role::Bias => fill(biases),
        Role::Gamma | Role::Variance => fill(1.0),
        Role::Beta | Role::Mean => fill(0.0),
    }
}

/// Inputs and outputs of one unit, by the canonical shapes of weights.
fn fans(w: &Shape) -> [usize; 2] {
    match **w {
        [k, n] => [k, n],
        [kh, kw, _] => [kh * kw, kh * kw],
        [kh, kw, c, m] => [kh * kw * c, kh * kw * m],
        _ => [w.len(), w.len()],
    }
}
