//! Settings of a training run.

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
    /// Seed of shuffling and dropout; the model's configuration gives the default.
    pub seed: Option<u64>,
    /// Updater; the model's configuration gives the default.
    pub updater: Option<Updater>,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { epochs: 30, batch_size: 16, max_iterations: None, shuffle: true, seed: None, updater: None }
    }
}

impl FitOptions {
    /// Checks the ranges.
    pub fn validate(&self) -> Result<()> {
        if self.epochs == 0 {
            return Err(Error::option("epochs", "at least 1"));
        }
        if self.batch_size == 0 {
            return Err(Error::option("batchSize", "at least 1"));
        }
        if self.max_iterations == Some(0) {
            return Err(Error::option("maxIterations", "at least 1"));
        }
        self.updater.as_ref().map_or(Ok(()), Updater::validate)
    }
}

/// What one epoch brought.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct IterationRecord {
    /// Mean loss of the batch before its update.
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
    /// The caller stopped it.
    Aborted,
}
