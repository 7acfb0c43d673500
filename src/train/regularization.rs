//! What is done to gradients before an update, and to weights after it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

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
