//! What is done to gradients before an update, and to weights after it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{Graph, VertexId};
use crate::ops::{Add, Clamp, Clip, ConstrainNorm, ConstrainSign, Penalize, ScaleNorm, SumSquares, WeightDecay};

/// What is done to gradients before the updater sees them, by Deeplearning4j's names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum GradientNormalization {
    /// All gradients of a layer together have the Euclidean norm 1.
    RenormalizeL2PerLayer {},
    /// Each gradient has the Euclidean norm 1.
    RenormalizeL2PerParamType {},
    /// Each element lies in ±threshold.
    ClipElementwiseAbsoluteValue {
        /// Above 0.
        threshold: f32,
    },
    /// All gradients of a layer together have at most the norm `threshold`.
    ClipL2PerLayer {
        /// Above 0.
        threshold: f32,
    },
    /// Each gradient has at most the norm `threshold`.
    ClipL2PerParamType {
        /// Above 0.
        threshold: f32,
    },
    /// All gradients together have at most the norm `threshold`.
    ClipL2Global {
        /// Above 0.
        threshold: f32,
    },
}

impl GradientNormalization {
    /// Checks the threshold.
    ///
    /// # Errors
    /// `bad-option` unless it is above 0 and finite.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::RenormalizeL2PerLayer {} | Self::RenormalizeL2PerParamType {} => Ok(()),
            Self::ClipElementwiseAbsoluteValue { threshold }
            | Self::ClipL2PerLayer { threshold }
            | Self::ClipL2PerParamType { threshold }
            | Self::ClipL2Global { threshold } => {
                if threshold > 0.0 && threshold.is_finite() {
                    return Ok(());
                }
                Err(Error::option("gradientNormalization", format!("the threshold is above 0, not {threshold}")))
            }
        }
    }
}

/// What weights are projected to after each update; norms are those of the weights into one unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Constraint {
    /// Norm at most `max`.
    MaxNorm {
        /// Above 0.
        max: f32,
    },
    /// Norm between `min` and `max`.
    MinMaxNorm {
        /// At least 0.
        min: f32,
        /// At least `min`, above 0.
        max: f32,
        /// Share of the way that an update goes, in (0, 1]; 1.
        #[serde(default = "whole")]
        rate: f32,
    },
    /// Norm 1.
    UnitNorm {},
    /// No element below 0.
    NonNegative {},
}

fn whole() -> f32 {
    1.0
}

impl Constraint {
    /// Checks the ranges.
    ///
    /// # Errors
    /// `bad-option`.
    pub fn validate(&self) -> Result<()> {
        let (min, max, rate) = match *self {
            Self::MaxNorm { max } => (0.0, max, 1.0),
            Self::MinMaxNorm { min, max, rate } => (min, max, rate),
            Self::UnitNorm {} | Self::NonNegative {} => return Ok(()),
        };
        let ordered = min >= 0.0 && min <= max && max > 0.0 && max.is_finite();
        if ordered && rate > 0.0 && rate <= 1.0 {
            return Ok(());
        }
        Err(Error::option("constraints", format!("0 ≤ min ≤ max, max above 0, rate in (0, 1], not {self:?}")))
    }
}

/// A weight and its gradient.
pub type WeightGradient = (VertexId, VertexId);

/// Appends what the normalisation makes of the gradients of layers, in their order. Norms are taken of the gradients as they are
/// given: of the mean loss, before penalties, as Deeplearning4j does.
pub fn normalized(
    g: &mut Graph,
    layers: &[Vec<WeightGradient>],
    how: &GradientNormalization,
) -> Result<Vec<Vec<WeightGradient>>> {
    let (per, limit) = match *how {
        GradientNormalization::RenormalizeL2PerLayer {} => (Per::Layer, None),
        GradientNormalization::RenormalizeL2PerParamType {} => (Per::Parameter, None),
        GradientNormalization::ClipL2PerLayer { threshold } => (Per::Layer, Some(threshold)),
        GradientNormalization::ClipL2PerParamType { threshold } => (Per::Parameter, Some(threshold)),
        GradientNormalization::ClipL2Global { threshold } => (Per::Graph, Some(threshold)),
        GradientNormalization::ClipElementwiseAbsoluteValue { threshold } => {
            let clamp = Clamp { min: Some(-threshold), max: Some(threshold) };
            return each(layers, |(w, dw)| Ok((w, g.add_for(w, "clipped", Clip { clamp }, &[dw])?)));
        }
    };
    let groups: Vec<Vec<WeightGradient>> = match per {
        Per::Graph => vec![layers.concat()],
        Per::Layer => layers.to_vec(),
        Per::Parameter => layers.iter().flatten().map(|pair| vec![*pair]).collect(),
    };
    let mut scaled = Vec::new();
    for group in groups.iter().filter(|group| !group.is_empty()) {
        let norm = squared_norm(g, group)?;
        for &(w, dw) in group {
            scaled.push(g.add_for(w, "normalized", ScaleNorm { limit }, &[dw, norm])?);
        }
    }
    let mut scaled = scaled.into_iter();
    each(layers, |(w, dw)| Ok((w, scaled.next().unwrap_or(dw))))
}

/// Gradients that share a norm.
enum Per {
    Parameter,
    Layer,
    Graph,
}

fn each(
    layers: &[Vec<WeightGradient>],
    mut f: impl FnMut(WeightGradient) -> Result<WeightGradient>,
) -> Result<Vec<Vec<WeightGradient>>> {
    layers.iter().map(|layer| layer.iter().map(|pair| f(*pair)).collect()).collect()
}

fn squared_norm(g: &mut Graph, group: &[WeightGradient]) -> Result<VertexId> {
    let mut sum = None;
    for &(w, dw) in group {
        let squares = g.add_for(w, "squares", SumSquares {}, &[dw])?;
        sum = Some(match sum {
            Some(sum) => g.add_for(w, "sum_of_squares", Add {}, &[sum, squares])?,
            None => squares,
        });
    }
    sum.ok_or_else(|| Error::internal("no gradients to take the norm of"))
}

/// Appends the gradient of the loss plus `l1·Σ|w| + ½·l2·Σw²`; `dw` itself where both are 0. Deeplearning4j's meaning of `l2`: Keras's
/// `L2(l)` is `l2 = 2·l`, PyTorch's `weight_decay` of SGD is `l2`.
pub fn penalized(g: &mut Graph, w: VertexId, dw: VertexId, l1: f32, l2: f32) -> Result<VertexId> {
    if l1 == 0.0 && l2 == 0.0 {
        return Ok(dw);
    }
    g.add_for(w, "penalized", Penalize { l1, l2 }, &[w, dw])
}

/// Appends decoupled weight decay, `w −= rate·decay·w`, with the first of the updater's `scalars` as the rate. The value is `w` in
/// place: the updater reads it instead of `w`.
pub fn decayed(g: &mut Graph, w: VertexId, scalars: VertexId, decay: f32) -> Result<VertexId> {
    g.add_for(w, "decayed", WeightDecay { decay }, &[w, scalars])
}

/// Appends the projection of updated weights, in place. `w` is the updater's vertex, or that of the constraint before.
pub fn constrained(g: &mut Graph, w: VertexId, constraint: &Constraint) -> Result<VertexId> {
    // The weights into one unit are a column of every layout of weights; a vector has one norm, as Keras's `axis=0`.
    let shape = &g.get(w).ty.shape;
    let units = if shape.rank() > 1 { shape.rows_cols().1 } else { 1 };
    let norm = |min, max, rate| ConstrainNorm { units, min, max, rate };
    match *constraint {
        Constraint::MaxNorm { max } => g.add_for(w, "constrained", norm(0.0, max, 1.0), &[w]),
        Constraint::MinMaxNorm { min, max, rate } => g.add_for(w, "constrained", norm(min, max, rate), &[w]),
        Constraint::UnitNorm {} => g.add_for(w, "constrained", norm(1.0, 1.0, 1.0), &[w]),
        Constraint::NonNegative {} => g.add_for(w, "constrained", ConstrainSign {}, &[w]),
    }
}
