//! Losses as vertices of the training step.

use crate::error::{Error, Result};
use crate::graph::{Graph, Loss, OutputLoss, VertexId};
use crate::ops::{Function, Multiply, Op, RowLoss, RowLossKind, SoftmaxNll};
use crate::tensor::Tensor;

/// Appends the loss of each row of `output` (`[n, c]`) against `targets` (`[n, c]`); the value is `[n]`.
///
/// Sums and means over the columns are Keras's: the cross-entropies of several classes, the divergence and the cosine are
/// sums, all others means. Column weights multiply each column's part. A softmax and the cross-entropy after it, and a sigmoid and the
/// binary cross-entropy after it, are computed from what goes into the activation, so that no probability is rounded to 0.
///
/// # Errors
/// What [`check_loss`] refuses; `conflict` where the output is no matrix, `shape` where targets do not fit.
pub fn losses(g: &mut Graph, output: VertexId, targets: VertexId, loss: &OutputLoss) -> Result<VertexId> {
    let vertex = g.get(output);
    let &[_, columns] = &vertex.ty.shape[..] else {
        let reason = format!("a loss takes one row of values for each sample, not {}", vertex.ty.shape);
        return Err(Error::conflict(&vertex.name, reason));
    };
    check_loss(loss, &vertex.op, columns, &vertex.name)?;
    let before = vertex.inputs.first().copied();
    let kind = match (loss.function, &vertex.op, before) {
        (Loss::NegativeLogLikelihood | Loss::Mcxent | Loss::SparseMcxent, Op::Softmax(op), Some(logits))
            if op.axis == 1 =>
        {
            let targets = weighted(g, targets, &loss.weights)?;
            return g.add_for(output, "losses", SoftmaxNll {}, &[logits, targets]);
        }
        (Loss::Xent, Op::Sigmoid(_), Some(logits)) => {
            let op = RowLoss { kind: RowLossKind::BinaryLogits, weights: loss.weights.clone() };
            return g.add_for(output, "losses", op, &[logits, targets]);
        }
        (Loss::NegativeLogLikelihood | Loss::Mcxent | Loss::SparseMcxent, ..) => RowLossKind::Nll,
        (Loss::Xent, ..) => RowLossKind::Binary,
        (Loss::Mse, ..) => RowLossKind::Mse,
        (Loss::Mae, ..) => RowLossKind::Mae,
        (Loss::Hinge, ..) => RowLossKind::Hinge,
        (Loss::SquaredHinge, ..) => RowLossKind::SquaredHinge,
        (Loss::KlDivergence, ..) => RowLossKind::KlDivergence,
        (Loss::Poisson, ..) => RowLossKind::Poisson,
        (Loss::CosineProximity, ..) => RowLossKind::Cosine,
    };
    g.add_for(output, "losses", RowLoss { kind, weights: loss.weights.clone() }, &[output, targets])
}

/// Targets times the weights of their columns: the loss is linear in them.
fn weighted(g: &mut Graph, targets: VertexId, weights: &[f32]) -> Result<VertexId> {
    if weights.is_empty() {
        return Ok(targets);
    }
    let name = g.free_name(&format!("{}/column_weights", g.get(targets).name));
    let weights = g.constant(name, Tensor::f32([weights.len()], weights.to_vec())?)?;
    g.add_for(targets, "weighted", Multiply {}, &[targets, weights])
}

/// Whether a loss fits an output of `columns` columns whose last op is `op`, by the rules of Deeplearning4j's `OutputLayerUtil`.
///
/// # Errors
/// `conflict` that names `vertex`: a softmax of one column, a probability loss on values that are no probabilities, a softmax with
/// the binary cross-entropy, a sigmoid with that of several classes, column weights that are not as many as there are columns or
/// not finite and at least 0.
pub fn check_loss(loss: &OutputLoss, op: &Op, columns: usize, vertex: &str) -> Result<()> {
    let multiclass = matches!(loss.function, Loss::NegativeLogLikelihood | Loss::Mcxent | Loss::SparseMcxent);
    let (softmax, sigmoid) = (matches!(op, Op::Softmax(_)), matches!(op, Op::Sigmoid(_)));
    let reason = if softmax && columns == 1 {
        "a softmax of one class is always 1; use at least two, or a sigmoid with xent".to_owned()
    } else if softmax && loss.function == Loss::Xent {
        "xent takes every column for a question of its own, a softmax does not; use mcxent, or a sigmoid".to_owned()
    } else if sigmoid && multiclass {
        "the cross-entropy of several classes needs a softmax; a sigmoid goes with xent".to_owned()
    } else if (multiclass || loss.function == Loss::Xent) && may_leave_0_1(op) {
        let activation = if multiclass { "softmax" } else { "sigmoid" };
        format!("the loss takes probabilities, '{}' gives any number; use the activation {activation}", op.name())
    } else if !loss.weights.is_empty() && loss.weights.len() != columns {
        format!("{} loss weights for {columns} columns", loss.weights.len())
    } else if loss.weights.iter().any(|w| !(*w >= 0.0 && w.is_finite())) {
        format!("loss weights must be finite and not negative, not {:?}", loss.weights)
    } else {
        return Ok(());
    };
    Err(Error::conflict(vertex, reason))
}

/// Whether the results of an op are known to be more than numbers between 0 and 1. Ops that only move values are given the
/// benefit of the doubt.
fn may_leave_0_1(op: &Op) -> bool {
    match op {
        Op::Softmax(_) | Op::Sigmoid(_) => false,
        Op::Activate(op) => !matches!(op.function, Function::HardSigmoid { .. }),
        Op::Clip(op) => op.clamp.bounds().0 < 0.0 || op.clamp.bounds().1 > 1.0,
        Op::Reshape(_) | Op::Flatten(_) | Op::Transpose(_) | Op::Concat(_) | Op::Slice(_) | Op::Dropout(_) => false,
        _ => true,
    }
}
