//! Settings of a training run, and what it brings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Updater;
use crate::error::{Error, Result};

/// Settings of `fit`, as the API spells them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FitOptions {
    /// Passes over the data; 30.
    pub epochs: u32,
    /// Rows per update; 16, at most as many as there are.
    pub batch_size: usize,
    /// Updates after which training stops, whatever `epochs` says.
    pub max_iterations: Option<u64>,
    /// Whether rows are shuffled anew for every epoch; true.
    pub shuffle: bool,
    /// Seed of shuffling, views and dropout; the model's configuration gives the default.
    pub seed: Option<u64>,
    /// Updater of this run, in place of all that the model's layers have.
    pub updater: Option<Updater>,
    /// Share of each target that is spread evenly over all classes while training, in `[0, 1)`; 0 (Szegedy et al. 2016,
    /// section 7). Validation is not smoothed.
    pub label_smoothing: f32,
    /// Factors of the losses of rows by class; all 1 where absent.
    pub class_weights: Option<ClassWeights>,
    /// What unfrozen batch norms do; `frozen`.
    pub batch_norm: BatchNormMode,
    /// When to stop before all epochs are done; never where absent.
    pub early_stopping: Option<EarlyStopping>,
}

/// Factors of losses by class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClassWeights {
    /// `rows / (classes · rows of the class)`: every class counts the same in all (scikit-learn's `balanced`).
    Named(Balanced),
    /// By label; labels that are not named have 1.
    Each(BTreeMap<String, f32>),
}

/// The name of balanced weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Balanced {
    /// See [`ClassWeights::Named`].
    Balanced,
}

/// What unfrozen batch norms do while training. Frozen ones always use and keep their stored statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchNormMode {
    /// They use and keep their stored statistics; γ and β are trained.
    #[default]
    Frozen,
    /// They use those of the batch and move the stored ones towards them.
    Train,
}

/// When to stop early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// What is watched; the validation loss, or the training loss where there is no validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
    /// Epochs without improvement after which training stops; 5.
    pub patience: u32,
    /// What counts as improvement: more than this; 0.
    pub min_delta: f64,
    /// Seconds after which training stops. The caller has the clock: see [`super::Trainer::stop`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Whether the parameters of the best epoch are what remains; true.
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { monitor: None, patience: 5, min_delta: 0.0, max_seconds: None, restore_best: true }
    }
}

/// What early stopping watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Monitor {
    /// Loss on the validation set; less is better.
    ValLoss,
    /// Accuracy on the validation set; more is better.
    ValAccuracy,
    /// Loss on the training set; less is better.
    Loss,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: 16,
            max_iterations: None,
            shuffle: true,
            seed: None,
            updater: None,
            label_smoothing: 0.0,
            class_weights: None,
            batch_norm: BatchNormMode::Frozen,
            early_stopping: None,
        }
    }
}

impl FitOptions {
    /// Checks the ranges.
    ///
    /// # Errors
    /// `bad-option`.
    pub fn validate(&self) -> Result<()> {
        let at_least_one = [
            ("epochs", u64::from(self.epochs)),
            ("batchSize", self.batch_size as u64),
            ("maxIterations", self.max_iterations.unwrap_or(1)),
        ];
        if let Some((name, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(Error::option(name, "at least 1"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(Error::option("labelSmoothing", format!("in [0, 1), not {}", self.label_smoothing)));
        }
        if let Some(ClassWeights::Each(weights)) = &self.class_weights
            && let Some((label, weight)) = weights.iter().find(|(_, w)| !(**w >= 0.0 && w.is_finite()))
        {
            return Err(Error::option("classWeights", format!("0 or more, not {weight} for '{label}'")));
        }
        if let Some(stopping) = &self.early_stopping {
            let time = stopping.max_seconds.is_none_or(|seconds| seconds > 0.0);
            if stopping.patience == 0 || !(0.0..f64::INFINITY).contains(&stopping.min_delta) || !time {
                let reason = format!("patience at least 1, minDelta 0 or more, maxSeconds above 0, not {stopping:?}");
                return Err(Error::option("earlyStopping", reason));
            }
        }
        self.updater.as_ref().map_or(Ok(()), Updater::validate)
    }
}

/// What one epoch brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u32,
    /// Mean loss over the rows, each before the update of its batch.
    pub loss: f64,
    /// Share of rows whose class was right, before the update of their batch.
    pub accuracy: f64,
    /// Mean loss on the validation set after the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// Accuracy on the validation set after the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
    /// Learning rate of the epoch's last update.
    pub learning_rate: f64,
}

/// What one update brought.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IterationRecord {
    /// Mean loss of the batch before its update, with class weights, without penalties.
    pub loss: f64,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoppedBy {
    /// All epochs were done.
    Epochs,
    /// `maxIterations` was reached.
    Iterations,
    /// No epoch improved on the best for long enough, or time was up.
    EarlyStopping,
    /// A value became infinite or not a number.
    Diverged,
    /// The caller stopped it.
    Aborted,
}

/// Where values stopped being numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// Update in which it happened, from 0.
    pub iteration: u64,
    /// The first vertex with a value that was infinite or not a number.
    pub vertex: String,
}

/// What a run brought so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// One entry per completed epoch.
    pub epochs: Vec<EpochRecord>,
    /// One entry per update.
    pub iterations: Vec<IterationRecord>,
    /// Why training ended.
    pub stopped_by: StoppedBy,
    /// Epoch (from 1) that is best by what early stopping monitors, else by validation loss, else by training loss; 0 if none
    /// was completed.
    pub best_epoch: u32,
    /// Set where `stoppedBy` is `diverged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divergence: Option<Divergence>,
}
