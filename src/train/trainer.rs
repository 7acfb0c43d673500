//! The training loop, one update at a time, so that the caller decides how long to go on.

use std::sync::Arc;

use serde::Serialize;

use super::options::{EpochRecord, FitOptions, IterationRecord, StoppedBy};
use super::program::{Forward, Mask, Parameters, Program, RATE, ROW_WEIGHTS, TARGETS};
use super::{Updater, program};
use crate::data::{FeatureSet, Rng, Stream};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Tensor;

/// Training of a tail on cached features.
#[derive(Debug)]
pub struct Trainer {
    program: Program,
    forward: Option<Forward>,
    train: Arc<FeatureSet>,
    validation: Option<Arc<FeatureSet>>,
    updater: Updater,
    options: FitOptions,
    batch: usize,
    seed: u64,
    order: Vec<usize>,
    position: Position,
    running: Running,
    epochs: Vec<EpochRecord>,
    iterations: Vec<IterationRecord>,
}

/// How far training has come.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    epoch: u32,
    iteration: u64,
    /// Next row of `order`.
    cursor: usize,
}

/// Sums over the rows of the epoch so far.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    loss: f64,
    hits: usize,
    rows: usize,
}

/// What one call of [`Trainer::step`] did.
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
    /// Whether this update was the last of its epoch.
    pub epoch_ended: bool,
}

/// What a whole run brought.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// One entry per completed epoch.
    pub epochs: Vec<EpochRecord>,
    /// One entry per update.
    pub iterations: Vec<IterationRecord>,
    /// Why training ended.
    pub stopped_by: StoppedBy,
    /// Epoch (from 1) with the lowest validation loss, or training loss where there is no validation; 0 if none was completed.
    pub best_epoch: u32,
}

impl Trainer {
    /// Compiles the step. `tail` is cut by `Graph::split`; its inputs are the tensors of the feature sets, in order.
    ///
    /// # Errors
    /// `bad-option` for options, an empty set or labels that do not fit the output; `conflict` where nothing can be trained.
    pub fn new(
        tail: &Graph,
        train: Arc<FeatureSet>,
        validation: Option<Arc<FeatureSet>>,
        options: FitOptions,
        budget: Option<u64>,
    ) -> Result<Self> {
        options.validate()?;
        if train.count() == 0 {
            return Err(Error::option("train", "the set is empty"));
        }
        let updater = options.updater.clone().unwrap_or_default();
        let batch = options.batch_size.min(train.count());
        let program = Program::new(tail, batch, &updater, budget)?;
        check_labels(&program, &train)?;
        validation.iter().try_for_each(|set| check_labels(&program, set))?;
        let forward = validation.as_ref().map(|_| Forward::new(tail, batch, budget)).transpose()?;
        let (seed, order) = (options.seed.unwrap_or_default(), (0..train.count()).collect());
        let mut trainer = Self {
            program,
            forward,
            train,
            validation: validation.filter(|set| set.count() > 0),
            updater,
            options,
            batch,
            seed,
            order,
            position: Position::default(),
            running: Running::default(),
            epochs: Vec::new(),
            iterations: Vec::new(),
        };
        trainer.begin_epoch();
        Ok(trainer)
    }

    /// Updates planned in all.
    pub fn planned(&self) -> u64 {
        let all = u64::from(self.options.epochs) * self.order.len().div_ceil(self.batch) as u64;
        self.options.max_iterations.map_or(all, |max| max.min(all))
    }

    /// One update; at the end of an epoch also validation. Does nothing once all is done.
    pub fn step(&mut self) -> Result<Status> {
        if self.stopped_by().is_none() {
            self.update()?;
        }
        let epoch_ended = self.position.cursor >= self.order.len();
        let running = self.running;
        if epoch_ended && self.stopped_by_epochs_or_open() {
            self.end_epoch()?;
        }
        Ok(self.status(running, epoch_ended))
    }

    fn stopped_by_epochs_or_open(&self) -> bool {
        self.epochs.len() < self.options.epochs as usize
    }

    /// Why training has ended, if it has.
    pub fn stopped_by(&self) -> Option<StoppedBy> {
        if self.epochs.len() >= self.options.epochs as usize {
            return Some(StoppedBy::Epochs);
        }
        let reached = self.options.max_iterations.is_some_and(|max| self.position.iteration >= max);
        reached.then_some(StoppedBy::Iterations)
    }

    fn status(&self, running: Running, epoch_ended: bool) -> Status {
        let last = epoch_ended.then(|| self.epochs.last()).flatten();
        let stopped_by = self.stopped_by();
        let rows = running.rows.max(1) as f64;
        Status {
            finished: stopped_by.is_some(),
            stopped_by,
            epoch: last.map_or(self.position.epoch + 1, |e| e.epoch),
            epochs: self.options.epochs,
            iteration: self.position.iteration,
            iterations: self.planned(),
            loss: running.loss / rows,
            accuracy: running.hits as f64 / rows,
            learning_rate: self.updater.learning_rate(self.position.iteration.saturating_sub(1), self.position.epoch),
            val_loss: last.and_then(|e| e.val_loss),
            val_accuracy: last.and_then(|e| e.val_accuracy),
            epoch_ended,
        }
    }

    fn begin_epoch(&mut self) {
        if self.options.shuffle {
            // Each epoch is shuffled from the sorted order, so that it can be reached without the ones before it.
            self.order = (0..self.train.count()).collect();
            Rng::for_item(self.seed, Stream::Shuffle, u64::from(self.position.epoch)).shuffle(&mut self.order);
        }
        self.position.cursor = 0;
        self.running = Running::default();
    }

    fn end_epoch(&mut self) -> Result<()> {
        let validated = self.validate()?;
        let rows = self.running.rows.max(1) as f64;
        self.position.epoch += 1;
        self.epochs.push(EpochRecord {
            epoch: self.position.epoch,
            loss: self.running.loss / rows,
            accuracy: self.running.hits as f64 / rows,
            val_loss: validated.map(|v| v.0),
            val_accuracy: validated.map(|v| v.1),
            learning_rate: self.updater.learning_rate(self.position.iteration.saturating_sub(1), self.position.epoch),
        });
        self.begin_epoch();
        Ok(())
    }

    fn update(&mut self) -> Result<()> {
        let end = (self.position.cursor + self.batch).min(self.order.len());
        let rows = &self.order[self.position.cursor..end];
        let backend = &mut self.program.backend;
        let batch = Batch::gather(&self.train, rows, self.batch);
        for (name, values) in self.program.features.iter().zip(&batch.features) {
            backend.write(name, values)?;
        }
        backend.write(TARGETS, &batch.targets)?;
        backend.write(ROW_WEIGHTS, &batch.row_weights)?;
        backend.write(RATE, &self.updater.scalars(self.position.iteration, self.position.epoch))?;
        for (index, mask) in self.program.masks.iter().enumerate() {
            backend.write(&mask.input, &draw(mask, self.seed, self.position.iteration, index as u64))?;
        }
        backend.run();
        let losses = &backend.read(&self.program.losses)?[..rows.len()];
        let loss: f64 = losses.iter().map(|&l| f64::from(l)).sum();
        let probabilities = backend.read(&self.program.predictions)?;
        self.running.hits += hits(probabilities, &batch.targets, self.program.classes, rows.len());
        self.running.loss += loss;
        self.running.rows += rows.len();
        self.iterations.push(IterationRecord { loss: loss / rows.len() as f64 });
        self.position.cursor = end;
        self.position.iteration += 1;
        Ok(())
    }

    /// Mean loss and accuracy on the validation set.
    fn validate(&mut self) -> Result<Option<(f64, f64)>> {
        let (Some(forward), Some(set)) = (&mut self.forward, &self.validation) else { return Ok(None) };
        for name in &self.program.parameters {
            forward.backend.write(name, self.program.backend.read(name)?)?;
        }
        let rows: Vec<usize> = (0..set.count()).collect();
        let (mut loss, mut right) = (0.0, 0);
        for chunk in rows.chunks(self.batch) {
            let batch = Batch::gather(set, chunk, self.batch);
            for (name, values) in self.program.features.iter().zip(&batch.features) {
                forward.backend.write(name, values)?;
            }
            forward.backend.run();
            let probabilities = forward.backend.read(&self.program.predictions)?;
            let classes = self.program.classes;
            loss += crate::eval::negative_log_likelihood(probabilities, &batch.targets, classes, chunk.len());
            right += hits(probabilities, &batch.targets, classes, chunk.len());
        }
        let count = rows.len() as f64;
        Ok(Some((loss / count, right as f64 / count)))
    }

    /// Values of all trained parameters as they are now.
    pub fn parameters(&self) -> Result<Parameters> {
        let parameter = |name: &String| -> Result<(String, Tensor)> {
            let shape = self.program.backend.plan().named(name)?.shape.clone();
            Ok((name.clone(), Tensor::f32(shape, self.program.backend.read(name)?.to_vec())?))
        };
        self.program.parameters.iter().map(parameter).collect()
    }

    /// What the run brought so far. `stopped_by` is what the caller knows of its end.
    pub fn history(&self, stopped_by: StoppedBy) -> History {
        let monitored = |e: &EpochRecord| e.val_loss.unwrap_or(e.loss);
        let best = self.epochs.iter().min_by(|a, b| monitored(a).total_cmp(&monitored(b)));
        History {
            epochs: self.epochs.clone(),
            iterations: self.iterations.clone(),
            stopped_by,
            best_epoch: best.map_or(0, |e| e.epoch),
        }
    }
}

fn check_labels(program: &program::Program, set: &FeatureSet) -> Result<()> {
    let (classes, labels) = (program.classes, set.labels().len());
    if classes == labels {
        return Ok(());
    }
    Err(Error::option(
        "labels",
        format!("the data has {labels} labels, output '{}' has {classes}", program.predictions),
    ))
}

/// Rows of a feature set as a batch; rows beyond the given ones repeat the first with weight 0.
struct Batch {
    features: Vec<Vec<f32>>,
    targets: Vec<f32>,
    row_weights: Vec<f32>,
}

impl Batch {
    fn gather(set: &FeatureSet, rows: &[usize], batch: usize) -> Self {
        let padded: Vec<usize> = rows.iter().copied().chain(std::iter::repeat(rows[0])).take(batch).collect();
        let features = (0..set.tensors().len()).map(|tensor| set.gather(tensor, &padded)).collect();
        let classes = set.labels().len();
        let targets = padded.iter().flat_map(|&row| &set.targets()[row * classes..][..classes]).copied().collect();
        let weight = 1.0 / rows.len() as f32;
        let row_weights = (0..batch).map(|i| if i < rows.len() { weight } else { 0.0 }).collect();
        Self { features, targets, row_weights }
    }
}

/// Rows whose most probable class is the target's.
fn hits(probabilities: &[f32], targets: &[f32], classes: usize, rows: usize) -> usize {
    let pairs = probabilities.chunks_exact(classes).zip(targets.chunks_exact(classes)).take(rows);
    pairs.filter(|(p, t)| argmax(p) == argmax(t)).count()
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

/// Inverted dropout (Srivastava et al. 2014, section 10): 0 with probability `rate`, else `1 / (1 − rate)`.
fn draw(mask: &Mask, seed: u64, iteration: u64, index: u64) -> Vec<f32> {
    let mut rng = Rng::for_item(seed.wrapping_add(index), Stream::Dropout, iteration);
    let (rate, kept) = (f64::from(mask.rate), 1.0 / (1.0 - mask.rate));
    (0..mask.shape.len()).map(|_| if rng.uniform() < rate { 0.0 } else { kept }).collect()
}
