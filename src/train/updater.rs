//! Rules that turn gradients into new parameters.

use serde::{Deserialize, Serialize};

use super::Rate;
use crate::error::{Error, Result};
use crate::ops::{AdaDelta, AdaGrad, AdaMax, Adam, AmsGrad, Nadam, Nesterovs, Op, RmsProp, Sgd};

/// An updater with its settings. Defaults of the settings are Deeplearning4j's; formulas are written at the ops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Updater {
    /// See [`Sgd`].
    Sgd {
        /// Learning rate, default 1e-3.
        #[serde(default = "rate_1e3")]
        learning_rate: Rate,
    },
    /// See [`Nesterovs`].
    Nesterovs {
        /// Learning rate, default 0.1.
        #[serde(default = "rate_1e1")]
        learning_rate: Rate,
        /// Share of the last step that is kept, default 0.9.
        #[serde(default = "momentum")]
        momentum: Rate,
    },
    /// See [`Adam`].
    Adam {
        /// Learning rate, default 1e-3.
        #[serde(default = "rate_1e3")]
        learning_rate: Rate,
        /// Decay of the first moment, default 0.9.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the second moment, default 0.999.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the second moment, default 1e-8.
        #[serde(default = "epsilon_1e8")]
        epsilon: f64,
    },
    /// See [`AmsGrad`].
    AmsGrad {
        /// Learning rate, default 1e-3.
        #[serde(default = "rate_1e3")]
        learning_rate: Rate,
        /// Decay of the first moment, default 0.9.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the second moment, default 0.999.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the largest second moment, default 1e-8.
        #[serde(default = "epsilon_1e8")]
        epsilon: f64,
    },
    /// See [`AdaMax`].
    AdaMax {
        /// Learning rate, default 1e-3.
        #[serde(default = "rate_1e3")]
        learning_rate: Rate,
        /// Decay of the first moment, default 0.9.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the largest gradient, default 0.999.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the largest gradient, default 1e-8.
        #[serde(default = "epsilon_1e8")]
        epsilon: f64,
    },
    /// See [`Nadam`].
    Nadam {
        /// Learning rate, default 1e-3.
        #[serde(default = "rate_1e3")]
        learning_rate: Rate,
        /// Decay of the first moment, default 0.9.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the second moment, default 0.999.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the second moment, default 1e-8.
        #[serde(default = "epsilon_1e8")]
        epsilon: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2, in the form of PyTorch and Keras): [`Adam`] on weights
    /// that were first multiplied by `1 − rate · weightDecay`, see [`Updater::weight_decay`].
    AdamW {
        /// Learning rate, default 1e-3.
        #[serde(default = "rate_1e3")]
        learning_rate: Rate,
        /// Decay of the first moment, default 0.9.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the second moment, default 0.999.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the second moment, default 1e-8.
        #[serde(default = "epsilon_1e8")]
        epsilon: f64,
        /// Share of a weight that is taken off per update and unit of the rate, default 0.01 (PyTorch's; Deeplearning4j has no AdamW).
        #[serde(default = "weight_decay")]
        weight_decay: f64,
    },
    /// See [`AdaGrad`].
    AdaGrad {
        /// Learning rate, default 0.1.
        #[serde(default = "rate_1e1")]
        learning_rate: Rate,
        /// Added to the root of the sum, and the sum's first value, default 1e-6.
        #[serde(default = "epsilon_1e6")]
        epsilon: f64,
    },
    /// See [`RmsProp`].
    RmsProp {
        /// Learning rate, default 0.1.
        #[serde(default = "rate_1e1")]
        learning_rate: Rate,
        /// Decay of the mean square, default 0.95.
        #[serde(default = "rho")]
        decay: f64,
        /// Added to the mean square, default 1e-8.
        #[serde(default = "epsilon_1e8")]
        epsilon: f64,
    },
    /// See [`AdaDelta`].
    AdaDelta {
        /// Decay of both mean squares, default 0.95.
        #[serde(default = "rho")]
        rho: f64,
        /// Added to both mean squares, default 1e-6.
        #[serde(default = "epsilon_1e6")]
        epsilon: f64,
    },
    /// Leaves parameters as they are.
    Noop {},
}

fn rate_1e3() -> Rate {
    Rate::Number(1e-3)
}
fn rate_1e1() -> Rate {
    Rate::Number(0.1)
}
fn momentum() -> Rate {
    Rate::Number(0.9)
}
fn beta1() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn rho() -> f64 {
    0.95
}
fn weight_decay() -> f64 {
    1e-2
}
fn epsilon_1e8() -> f64 {
    1e-8
}
fn epsilon_1e6() -> f64 {
    1e-6
}

/// Rate of the default updater: the best of those tried for softmax heads on frozen features of 10 to 130 photos.
const HEAD_RATE: f64 = 1e-2;

/// What trains where nothing else is asked for: Nesterov momentum 0.9 with rate 1e-2.
impl Default for Updater {
    fn default() -> Self {
        Self::Nesterovs { learning_rate: HEAD_RATE.into(), momentum: momentum() }
    }
}

impl Updater {
    /// Checks the ranges: rates not negative, ε positive, decays and momentum in `[0, 1)`, all finite.
    pub fn validate(&self) -> Result<()> {
        self.rate().map_or(Ok(()), |rate| rate.validate("learningRate"))?;
        let (decays, epsilon) = match *self {
            Self::Sgd { .. } | Self::Noop {} => ([0.0; 2], 1.0),
            Self::Nesterovs { ref momentum, .. } => {
                momentum.validate("momentum")?;
                if !momentum.stays_below(1.0) {
                    return Err(Error::option("momentum", format!("all values must be in [0, 1): {momentum:?}")));
                }
                ([0.0; 2], 1.0)
            }
            Self::Adam { beta1, beta2, epsilon, .. }
            | Self::AmsGrad { beta1, beta2, epsilon, .. }
            | Self::AdaMax { beta1, beta2, epsilon, .. }
            | Self::Nadam { beta1, beta2, epsilon, .. }
            | Self::AdamW { beta1, beta2, epsilon, .. } => ([beta1, beta2], epsilon),
            Self::AdaGrad { epsilon, .. } => ([0.0; 2], epsilon),
            Self::RmsProp { decay: rho, epsilon, .. } | Self::AdaDelta { rho, epsilon } => ([rho, 0.0], epsilon),
        };
        let finite = |v: f64| v >= 0.0 && v.is_finite();
        // In f32 as the ops read them, so that 1 − 1e-9 or 1e-60 do not slip through.
        if !decays.iter().all(|d| (0.0..1.0).contains(&(*d as f32))) || epsilon as f32 <= 0.0 || !finite(epsilon) {
            return Err(Error::option("updater", format!("decays must be in [0, 1), epsilon above 0: {self:?}")));
        }
        if self.weight_decay().is_some_and(|decay| !finite(decay)) {
            return Err(Error::option("weightDecay", format!("must be finite and not negative: {self:?}")));
        }
        Ok(())
    }

    /// The op that applies one update; `None` where there is nothing to apply.
    pub fn op(&self) -> Option<Op> {
        let moments = |beta1: f64, beta2: f64, epsilon: f64| (beta1 as f32, beta2 as f32, epsilon as f32);
        Some(match *self {
            Self::Noop {} => return None,
            Self::Sgd { .. } => Sgd {}.into(),
            Self::Nesterovs { .. } => Nesterovs {}.into(),
            Self::Adam { beta1, beta2, epsilon, .. } | Self::AdamW { beta1, beta2, epsilon, .. } => {
                let (beta1, beta2, epsilon) = moments(beta1, beta2, epsilon);
                Adam { beta1, beta2, epsilon }.into()
            }
            Self::AmsGrad { beta1, beta2, epsilon, .. } => {
                let (beta1, beta2, epsilon) = moments(beta1, beta2, epsilon);
                AmsGrad { beta1, beta2, epsilon }.into()
            }
            Self::AdaMax { beta1, beta2, epsilon, .. } => {
                let (beta1, beta2, epsilon) = moments(beta1, beta2, epsilon);
                AdaMax { beta1, beta2, epsilon }.into()
            }
            Self::Nadam { beta1, beta2, epsilon, .. } => {
                let (beta1, beta2, epsilon) = moments(beta1, beta2, epsilon);
                Nadam { beta1, beta2, epsilon }.into()
            }
            Self::AdaGrad { epsilon, .. } => AdaGrad { epsilon: epsilon as f32 }.into(),
            Self::RmsProp { decay, epsilon, .. } => RmsProp { decay: decay as f32, epsilon: epsilon as f32 }.into(),
            Self::AdaDelta { rho, epsilon } => AdaDelta { rho: rho as f32, epsilon: epsilon as f32 }.into(),
        })
    }

    /// First value of the op's input `index`, a state: 0 for all but [`AdaGrad`].
    pub fn initial_state(&self, index: usize) -> f32 {
        match *self {
            Self::AdaGrad { epsilon, .. } if index == 1 => epsilon as f32,
            _ => 0.0,
        }
    }

    fn rate(&self) -> Option<&Rate> {
        match self {
            Self::Sgd { learning_rate }
            | Self::Nesterovs { learning_rate, .. }
            | Self::Adam { learning_rate, .. }
            | Self::AmsGrad { learning_rate, .. }
            | Self::AdaMax { learning_rate, .. }
            | Self::Nadam { learning_rate, .. }
            | Self::AdamW { learning_rate, .. }
            | Self::AdaGrad { learning_rate, .. }
            | Self::RmsProp { learning_rate, .. } => Some(learning_rate),
            Self::AdaDelta { .. } | Self::Noop {} => None,
        }
    }

    /// Learning rate in update `iteration` of epoch `epoch`, both counted from 0. 1 for AdaDelta, which has none; 0 for `noop`.
    pub fn learning_rate(&self, iteration: u64, epoch: u32) -> f64 {
        let without = if matches!(self, Self::Noop {}) { 0.0 } else { 1.0 };
        self.rate().map_or(without, |rate| rate.at(iteration, epoch))
    }

    /// Decoupled weight decay that belongs to the updater itself (AdamW); for weights, not for biases and normalisations.
    pub fn weight_decay(&self) -> Option<f64> {
        match *self {
            Self::AdamW { weight_decay, .. } => Some(weight_decay),
            _ => None,
        }
    }

    /// What the op's last input, `rate`, gets in update `iteration` of epoch `epoch`: the learning rate, then what else changes from
    /// update to update (momentum, bias corrections; see the ops). The length depends on the updater alone and is at least 1.
    pub fn scalars(&self, iteration: u64, epoch: u32) -> Vec<f32> {
        let t = iteration.saturating_add(1) as f64;
        let rate = self.learning_rate(iteration, epoch);
        let scalars = match *self {
            Self::Nesterovs { ref momentum, .. } => vec![rate, momentum.at(iteration, epoch)],
            Self::Adam { beta1, beta2, .. } | Self::AdamW { beta1, beta2, .. } | Self::AmsGrad { beta1, beta2, .. } => {
                vec![rate, (1.0 - libm::pow(beta2, t)).sqrt() / (1.0 - libm::pow(beta1, t))]
            }
            Self::AdaMax { beta1, .. } => vec![rate, 1.0 / (1.0 - libm::pow(beta1, t))],
            Self::Nadam { beta1, beta2, .. } => nadam_scalars(rate, beta1, beta2, iteration.saturating_add(1)).to_vec(),
            _ => vec![rate],
        };
        scalars.into_iter().map(|s| s as f32).collect()
    }
}

/// Rate, factors of `m` and `dw`, and factor of `v`, from the momentum schedule `μₜ = β₁ · (1 − 0.5 · 0.96ᵗ)` (Dozat 2016,
/// section 3.1; Keras `Nadam`).
fn nadam_scalars(rate: f64, beta1: f64, beta2: f64, t: u64) -> [f64; 4] {
    /// From here on `1 − 0.5 · 0.96ᵗ` is 1 in f64.
    const SETTLED: u64 = 1000;
    let (mut power, mut product) = (1.0, 1.0);
    for _ in 0..t.min(SETTLED) {
        power *= 0.96;
        product *= 1.0 - 0.5 * power;
    }
    product *= libm::pow(beta1, t as f64);
    let now = beta1 * (1.0 - 0.5 * power);
    let next = beta1 * (1.0 - 0.5 * 0.96 * power);
    let unbiased = 1.0 / (1.0 - libm::pow(beta2, t as f64));
    [rate, next / (1.0 - product * next), (1.0 - now) / (1.0 - product), unbiased]
}
