//! Rules that turn gradients into new parameters.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::{Adam, Nesterovs, Op, Sgd};

/// An updater with its settings. Defaults of the settings are Deeplearning4j's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Updater {
    /// `w ← w − lr·dw`.
    Sgd {
        /// Learning rate, default 1e-3.
        #[serde(default = "rate_1e3")]
        learning_rate: f64,
    },
    /// Nesterov momentum, see [`Nesterovs`].
    Nesterovs {
        /// Learning rate, default 0.1.
        #[serde(default = "rate_1e1")]
        learning_rate: f64,
        /// Share of the last step that is kept, default 0.9.
        #[serde(default = "momentum")]
        momentum: f64,
    },
    /// Adam (Kingma & Ba 2015, algorithm 1 in the form with `ε̂` of its section 2), see [`Adam`].
    Adam {
        /// Learning rate, default 1e-3.
        #[serde(default = "rate_1e3")]
        learning_rate: f64,
        /// Decay of the first moment, default 0.9.
        #[serde(default = "momentum")]
        beta1: f64,
        /// Decay of the second moment, default 0.999.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the second moment, default 1e-8.
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
}

fn rate_1e3() -> f64 {
    1e-3
}
fn rate_1e1() -> f64 {
    0.1
}
fn momentum() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}

/// Rate of the default updater: the best of those tried for softmax heads on frozen features of 10 to 130 photos.
const HEAD_RATE: f64 = 1e-2;

/// What trains where nothing else is asked for: Nesterov momentum 0.9 with rate 1e-2.
impl Default for Updater {
    fn default() -> Self {
        Self::Nesterovs { learning_rate: HEAD_RATE, momentum: momentum() }
    }
}

impl Updater {
    /// Checks the ranges: rates and ε positive and finite, decays in `[0, 1)`.
    pub fn validate(&self) -> Result<()> {
        let (rate, decays, epsilon) = match *self {
            Self::Sgd { learning_rate } => (learning_rate, [0.0; 2], 1.0),
            Self::Nesterovs { learning_rate, momentum } => (learning_rate, [momentum, 0.0], 1.0),
            Self::Adam { learning_rate, beta1, beta2, epsilon } => (learning_rate, [beta1, beta2], epsilon),
        };
        let positive = |v: f64| v > 0.0 && v.is_finite();
        if positive(rate) && positive(epsilon) && decays.iter().all(|d| (0.0..1.0).contains(d)) {
            return Ok(());
        }
        Err(Error::option("updater", format!("rate and epsilon must be positive, decays in [0, 1): {self:?}")))
    }

    /// The op that applies one update.
    pub fn op(&self) -> Op {
        match *self {
            Self::Sgd { .. } => Sgd {}.into(),
            Self::Nesterovs { momentum, .. } => Nesterovs { momentum: momentum as f32 }.into(),
            Self::Adam { beta1, beta2, epsilon, .. } => {
                Adam { beta1: beta1 as f32, beta2: beta2 as f32, epsilon: epsilon as f32 }.into()
            }
        }
    }

    /// Learning rate at an iteration (from 0).
    pub fn learning_rate(&self, _iteration: u64) -> f64 {
        match *self {
            Self::Sgd { learning_rate } | Self::Nesterovs { learning_rate, .. } | Self::Adam { learning_rate, .. } => {
                learning_rate
            }
        }
    }

    /// What the op's `rate` input gets at an iteration: the learning rate, for Adam with the bias correction
    /// `√(1 − β₂ᵗ) / (1 − β₁ᵗ)`, `t = iteration + 1`.
    pub fn step_size(&self, iteration: u64) -> f32 {
        let rate = self.learning_rate(iteration);
        let corrected = match *self {
            Self::Adam { beta1, beta2, .. } => {
                let t = (iteration + 1) as f64;
                rate * (1.0 - libm::pow(beta2, t)).sqrt() / (1.0 - libm::pow(beta1, t))
            }
            _ => rate,
        };
        corrected as f32
    }
}
