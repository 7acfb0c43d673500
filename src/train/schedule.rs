//! Values that change while training goes on: learning rates and momenta.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};

/// What a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Updates.
    #[default]
    Iteration,
    /// Passes over the data.
    Epoch,
}

/// A value as a function of `i`, the updates or epochs done so far. Formulas are those of Deeplearning4j's `ISchedule`s,
/// except where a variant says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Schedule {
    /// `value`.
    Fixed {
        /// The value.
        value: f64,
    },
    /// `initial · decayRate^⌊i / step⌋`.
    Step {
        /// First value.
        initial: f64,
        /// Factor of each step.
        decay_rate: f64,
        /// Length of a step.
        step: f64,
        /// What `i` counts.
        #[serde(default)]
        per: Per,
    },
    /// `initial · gammaⁱ`.
    Exponential {
        /// First value.
        initial: f64,
        /// Factor.
        gamma: f64,
        /// What `i` counts.
        #[serde(default)]
        per: Per,
    },
    /// `initial / (1 + gamma · i)^power`.
    Inverse {
        /// First value.
        initial: f64,
        /// Speed of the decay.
        gamma: f64,
        /// Exponent.
        power: f64,
        /// What `i` counts.
        #[serde(default)]
        per: Per,
    },
    /// `initial · (1 − i / max)^power`, 0 from `max` on. Deeplearning4j's code has `1 + i / max`, which grows, against its own
    /// documentation; this is the decay of Caffe's `poly` policy.
    Poly {
        /// First value.
        initial: f64,
        /// Exponent.
        power: f64,
        /// Where 0 is reached.
        max: f64,
        /// What `i` counts.
        #[serde(default)]
        per: Per,
    },
    /// `initial / (1 + e^(−gamma · (i − step)))`: grows to `initial` for a positive `gamma`, falls for a negative one.
    Sigmoid {
        /// Limit.
        initial: f64,
        /// Slope.
        gamma: f64,
        /// Where the half is reached.
        step: f64,
        /// What `i` counts.
        #[serde(default)]
        per: Per,
    },
    /// `final + (initial − final) · (1 + cos(π · i / length)) / 2`, `final` from `length` on (Loshchilov & Hutter 2017, equation 5,
    /// without restarts).
    Cosine {
        /// First value.
        initial: f64,
        /// Last value; 0.
        #[serde(default, rename = "final")]
        last: f64,
        /// Where the last value is reached.
        length: f64,
        /// What `i` counts.
        #[serde(default)]
        per: Per,
    },
    /// The value of the largest key that is not above `i`. There is a key 0.
    Map {
        /// Values by the first `i` they are valid for.
        #[serde(deserialize_with = "by_count")]
        values: BTreeMap<u64, f64>,
        /// What `i` counts.
        #[serde(default)]
        per: Per,
    },
    /// `(i + 1) / length` of another schedule in the first `length` updates, then all of it.
    Ramp {
        /// Updates of the warm-up.
        length: u64,
        /// What is warmed up to.
        then: Box<Schedule>,
    },
    /// One cycle of `length` updates, then the next (Smith 2018, "1cycle"): with `h = ⌊(length − annealLength) / 2⌋` linearly from
    /// `initial` to `max` in `h` updates, back in `h`, then `initial · annealDecayᵏ` with
    /// `k = annealLength − (length − i)` in the rest.
    Cycle {
        /// Value at both ends of the cycle.
        initial: f64,
        /// Value in its middle.
        max: f64,
        /// Updates of the whole cycle.
        length: u64,
        /// Updates of its last part.
        anneal_length: u64,
        /// Factor per update in the last part.
        anneal_decay: f64,
    },
}

/// JSON has text keys only, and tagged enums do not turn them into numbers.
fn by_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u64, f64>, D::Error> {
    let values = BTreeMap::<String, f64>::deserialize(deserializer)?;
    let parsed = values.into_iter().map(|(key, value)| match key.parse() {
        Ok(key) => Ok((key, value)),
        Err(_) => Err(serde::de::Error::custom(format!("'{key}' is no count of updates or epochs"))),
    });
    parsed.collect()
}

impl Schedule {
    /// The value in update `iteration` of epoch `epoch`, both counted from 0.
    pub fn at(&self, iteration: u64, epoch: u32) -> f64 {
        let count = |per: Per| match per {
            Per::Iteration => iteration as f64,
            Per::Epoch => f64::from(epoch),
        };
        match *self {
            Self::Fixed { value } => value,
            Self::Step { initial, decay_rate, step, per } => {
                initial * libm::pow(decay_rate, (count(per) / step).floor())
            }
            Self::Exponential { initial, gamma, per } => initial * libm::pow(gamma, count(per)),
            Self::Inverse { initial, gamma, power, per } => initial / libm::pow(1.0 + gamma * count(per), power),
            Self::Poly { max, per, .. } if count(per) >= max => 0.0,
            Self::Poly { initial, power, max, per } => initial * libm::pow(1.0 - count(per) / max, power),
            Self::Sigmoid { initial, gamma, step, per } => initial / (1.0 + libm::exp(-gamma * (count(per) - step))),
            Self::Cosine { initial, last, length, per } => {
                let share = (count(per) / length).min(1.0);
                last + (initial - last) * 0.5 * (1.0 + libm::cos(PI * share))
            }
            Self::Map { ref values, per } => {
                let count = if per == Per::Epoch { u64::from(epoch) } else { iteration };
                values.range(..=count).next_back().map_or(0.0, |(_, value)| *value)
            }
            Self::Ramp { length, ref then } => {
                then.at(iteration, epoch) * ((iteration.saturating_add(1)) as f64 / length as f64).min(1.0)
            }
            Self::Cycle { initial, max, length, anneal_length, anneal_decay } => {
                let (i, half) = (iteration % length.max(1), (length.saturating_sub(anneal_length)) / 2);
                let slope = (max - initial) / half as f64;
                if i < half {
                    initial + slope * i as f64
                } else if i < 2 * half {
                    max - slope * (i - half) as f64
                } else {
                    initial * libm::pow(anneal_decay, anneal_length as f64 - (length - i) as f64)
                }
            }
        }
    }

    /// Checks that all values are finite and not negative, and lengths positive. `option` is the name that an error carries.
    pub fn validate(&self, option: &'static str) -> Result<()> {
        let size = |v: f64| v >= 0.0 && v.is_finite();
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let valid = match *self {
            Self::Fixed { value } => size(value),
            Self::Step { initial, decay_rate, step, .. } => size(initial) && positive(decay_rate) && positive(step),
            Self::Exponential { initial, gamma, .. } => size(initial) && positive(gamma),
            Self::Inverse { initial, gamma, power, .. } => size(initial) && size(gamma) && size(power),
            Self::Poly { initial, power, max, .. } => size(initial) && size(power) && positive(max),
            Self::Sigmoid { initial, gamma, step, .. } => size(initial) && gamma.is_finite() && step.is_finite(),
            Self::Cosine { initial, last, length, .. } => size(initial) && size(last) && positive(length),
            Self::Map { ref values, .. } => values.contains_key(&0) && values.values().all(|v| size(*v)),
            Self::Ramp { length, ref then } => {
                return if length > 0 { then.validate(option) } else { Err(self.refused(option)) };
            }
            Self::Cycle { initial, max, length, anneal_length, anneal_decay } => {
                size(initial) && size(max) && positive(anneal_decay) && length > 0 && anneal_length < length
            }
        };
        if valid { Ok(()) } else { Err(self.refused(option)) }
    }

    fn refused(&self, option: &'static str) -> Error {
        let reason = "values must be finite and not negative, factors and lengths above 0, a map needs the key 0";
        Error::option(option, format!("{reason}: {self:?}"))
    }

    /// A bound that no value exceeds; infinite where the schedule grows without end.
    fn bound(&self) -> f64 {
        let grows = |factor: f64, initial: f64| if factor > 1.0 { f64::INFINITY } else { initial };
        match *self {
            Self::Fixed { value } => value,
            Self::Step { initial, decay_rate, .. } => grows(decay_rate, initial),
            Self::Exponential { initial, gamma, .. } => grows(gamma, initial),
            Self::Inverse { initial, .. } | Self::Poly { initial, .. } | Self::Sigmoid { initial, .. } => initial,
            Self::Cosine { initial, last, .. } => initial.max(last),
            Self::Map { ref values, .. } => values.values().copied().fold(0.0, f64::max),
            Self::Ramp { ref then, .. } => then.bound(),
            Self::Cycle { initial, max, anneal_decay, .. } => grows(anneal_decay, initial.max(max)),
        }
    }
}

/// A number, or a schedule that gives one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "neither a number nor a schedule with all its fields")]
pub enum Rate {
    /// The same in every update.
    Number(f64),
    /// Changing.
    Schedule(Schedule),
}

impl From<f64> for Rate {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl Rate {
    /// The value in update `iteration` of epoch `epoch`, both counted from 0.
    pub fn at(&self, iteration: u64, epoch: u32) -> f64 {
        match self {
            Self::Number(value) => *value,
            Self::Schedule(schedule) => schedule.at(iteration, epoch),
        }
    }

    /// Checks the range: not negative and finite. `option` is the name that an error carries.
    pub fn validate(&self, option: &'static str) -> Result<()> {
        match self {
            Self::Number(value) => Schedule::Fixed { value: *value }.validate(option),
            Self::Schedule(schedule) => schedule.validate(option),
        }
    }

    /// Whether no value reaches `limit`.
    pub(super) fn stays_below(&self, limit: f64) -> bool {
        match self {
            Self::Number(value) => *value < limit,
            Self::Schedule(schedule) => schedule.bound() < limit,
        }
    }
}
