//! How far a run has come, and how good it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::options::{EarlyStopping, EpochRecord, IterationRecord, Monitor, StoppedBy};

/// How far training has come, and what it brought.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) position: Position,
    pub(super) running: Running,
    pub(super) epochs: Vec<EpochRecord>,
    pub(super) iterations: Vec<IterationRecord>,
    /// The best epoch, from 1, and its monitored value.
    pub(super) best: Option<(u32, f64)>,
}

impl Progress {
    /// Whether a run over so many images can have come here.
    pub(super) fn is_place_among(&self, images: usize) -> bool {
        let Position { epoch, iteration, cursor } = self.position;
        let best = self.best.map_or(0, |(epoch, _)| epoch);
        self.epochs.len() == epoch as usize
            && self.iterations.len() as u64 == iteration
            && cursor < images
            && best <= epoch
    }
}

/// Place in the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) epoch: u32,
    pub(super) iteration: u64,
    /// Next row of the epoch's order.
    pub(super) cursor: usize,
}

/// Sums over the rows of the epoch so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) loss: f64,
    pub(super) hits: usize,
    pub(super) rows: usize,
}

/// What one call of [`Trainer::step`](super::Trainer::step) did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether all is done.
    pub finished: bool,
    /// Why, once it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<StoppedBy>,
    /// Epoch at work, from 1.
    pub epoch: u32,
    /// Epochs planned.
    pub epochs: u32,
    /// Updates done.
    pub iteration: u64,
    /// Updates planned.
    pub iterations: u64,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Accuracy of the epoch so far.
    pub accuracy: f64,
    /// Learning rate of the last update.
    pub learning_rate: f64,
    /// Validation loss, at the end of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// Validation accuracy, at the end of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
    /// At the end of an epoch: log10 of mean |update| / mean |parameter| of each layer in the last update.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub update_ratios: BTreeMap<String, f64>,
    /// Whether this update was the last of its epoch.
    pub epoch_ended: bool,
}

/// What decides which epoch is best, and its value.
pub(super) fn monitored(record: &EpochRecord, stopping: Option<&EarlyStopping>) -> (Monitor, f64) {
    let asked = stopping.and_then(|s| s.monitor).unwrap_or(Monitor::ValLoss);
    let value = match asked {
        Monitor::ValLoss => record.val_loss,
        Monitor::ValAccuracy => record.val_accuracy,
        Monitor::Loss => None,
    };
    value.map_or((Monitor::Loss, record.loss), |value| (asked, value))
}

/// Rows whose most probable class is the target's; as many as there are targets.
pub(super) fn hits<'a>(probabilities: &[f32], classes: usize, targets: impl Iterator<Item = &'a [f32]>) -> usize {
    probabilities.chunks_exact(classes).zip(targets).filter(|(p, t)| argmax(p) == argmax(t)).count()
}

/// Position of the first largest value.
fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}
