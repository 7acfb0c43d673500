//! The training loop, one update at a time, so that the caller decides how long to go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::batch::{Batch, Heads, Targets};
use super::options::{
    Divergence, EarlyStopping, EpochRecord, FitOptions, History, IterationRecord, Monitor, StoppedBy,
};
use super::program::{Forward, Mask, Parameters, Program, ROW_WEIGHTS, Snapshot};
use super::progress::{Position, Progress, Running, Status, hits, monitored};
use super::updates::Learning;
use crate::backend::StepTime;
use crate::data::{FeatureSet, Rng, Stream};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::transfer::Settings;

/// Training of a tail on cached features.
#[derive(Debug)]
pub struct Trainer {
    pub(super) tail: Graph,
    settings: Settings,
    budget: Option<u64>,
    pub(super) program: Program,
    /// The step for the last, smaller batch of an epoch, where padding would change the results.
    remainder: Option<Program>,
    forward: Option<Forward>,
    pub(super) train: Arc<FeatureSet>,
    validation: Option<Arc<FeatureSet>>,
    targets: Targets,
    pub(super) options: FitOptions,
    batch: usize,
    pub(super) seed: u64,
    pub(super) order: Vec<usize>,
    pub(super) progress: Progress,
    /// Where training goes back to when values stop being numbers: the end of the last epoch.
    pub(super) good: (Position, Snapshot),
    /// Parameters of the best epoch, where they are to be restored.
    pub(super) best: Option<Snapshot>,
    ratios: BTreeMap<String, f64>,
    /// Inputs of the step at work.
    inputs: Batch,
    /// Parameters before the last update of an epoch.
    before: Snapshot,
    pub(super) divergence: Option<Divergence>,
    pub(super) stopped: Option<StoppedBy>,
}

impl Trainer {
    /// Compiles the step. `tail` is cut by `Graph::split`; its inputs are the tensors of the feature sets, in order. `settings`
    /// are those of the model's layers.
    ///
    /// # Errors
    /// `bad-option` for options, an empty set or labels that do not fit the output; `conflict` where nothing can be trained.
    pub fn new(
        tail: &Graph,
        settings: &Settings,
        train: Arc<FeatureSet>,
        validation: Option<Arc<FeatureSet>>,
        options: FitOptions,
        budget: Option<u64>,
    ) -> Result<Self> {
        options.validate()?;
        if train.count() == 0 {
            return Err(Error::option("train", "the set is empty"));
        }
        let validation = validation.filter(|set| set.count() > 0);
        let batch = options.batch_size.min(train.images());
        let learning = Learning { settings, updater: options.updater.as_ref(), batch_norm: options.batch_norm };
        let program = Program::new(tail, batch, &learning, budget)?;
        let outputs: Vec<(String, usize)> =
            program.heads.iter().map(|head| (head.predictions.clone(), head.columns)).collect();
        let heads = Heads::new(&outputs, &train)?;
        if let Some(other) = validation.as_ref().filter(|set| set.labels() != train.labels()) {
            let reason = format!("validation has {:?}, training {:?}", other.labels(), train.labels());
            return Err(Error::option("labels", reason));
        }
        let forward = Forward::new(tail, batch, options.batch_norm, budget);
        let forward = validation.as_ref().map(|_| forward).transpose()?;
        let mut trainer = Self {
            tail: tail.clone(),
            settings: settings.clone(),
            budget,
            good: (Position::default(), program.snapshot()?),
            program,
            remainder: None,
            forward,
            targets: Targets::new(heads, &train, &options)?,
            train,
            validation,
            seed: options.seed.unwrap_or_default(),
            options,
            batch,
            order: Vec::new(),
            progress: Progress::default(),
            best: None,
            ratios: BTreeMap::new(),
            inputs: Batch::default(),
            before: Snapshot::new(),
            divergence: None,
            stopped: None,
        };
        trainer.order = trainer.order_of(0);
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
        let running = self.progress.running;
        let epoch_ended = self.stopped.is_none() && self.progress.position.cursor >= self.order.len();
        if epoch_ended && self.progress.epochs.len() < self.options.epochs as usize {
            self.end_epoch()?;
        }
        Ok(self.status(running, epoch_ended))
    }

    /// Ends training early, as `maxSeconds` of early stopping asks for.
    pub fn stop(&mut self) {
        if self.stopped_by().is_none() {
            self.stopped = Some(StoppedBy::EarlyStopping);
        }
    }

    /// Why training has ended, if it has.
    pub fn stopped_by(&self) -> Option<StoppedBy> {
        if self.stopped.is_some() {
            return self.stopped;
        }
        if self.progress.epochs.len() >= self.options.epochs as usize {
            return Some(StoppedBy::Epochs);
        }
        let reached = self.options.max_iterations.is_some_and(|max| self.progress.position.iteration >= max);
        reached.then_some(StoppedBy::Iterations)
    }

    fn status(&self, running: Running, epoch_ended: bool) -> Status {
        let last = epoch_ended.then(|| self.progress.epochs.last()).flatten();
        let (stopped_by, position) = (self.stopped_by(), self.progress.position);
        let rows = running.rows.max(1) as f64;
        Status {
            finished: stopped_by.is_some(),
            stopped_by,
            epoch: last.map_or(position.epoch + 1, |e| e.epoch),
            epochs: self.options.epochs,
            iteration: position.iteration,
            iterations: self.planned(),
            loss: running.loss / rows,
            accuracy: running.hits as f64 / rows,
            learning_rate: last.map_or_else(|| self.learning_rate(), |e| e.learning_rate),
            val_loss: last.and_then(|e| e.val_loss),
            val_accuracy: last.and_then(|e| e.val_accuracy),
            update_ratios: if epoch_ended { self.ratios.clone() } else { BTreeMap::new() },
            epoch_ended,
        }
    }

    /// Of the last update, by the first updater.
    fn learning_rate(&self) -> f64 {
        let Position { epoch, iteration, .. } = self.progress.position;
        self.program.rates.first().map_or(0.0, |rate| rate.updater.learning_rate(iteration.saturating_sub(1), epoch))
    }

    /// Rows of an epoch in the order in which they are trained on.
    fn order_of(&self, epoch: u32) -> Vec<usize> {
        // Each epoch is shuffled from the sorted order, so that it can be reached without the ones before it.
        let mut order = self.train.epoch_rows(self.seed, u64::from(epoch));
        if self.options.shuffle {
            Rng::for_item(self.seed, Stream::Shuffle, u64::from(epoch)).shuffle(&mut order);
        }
        order
    }

    fn end_epoch(&mut self) -> Result<()> {
        if !self.program.is_finite()? {
            return self.diverge();
        }
        let validated = self.validate()?;
        let learning_rate = self.learning_rate();
        let Progress { position, running, epochs, .. } = &mut self.progress;
        let rows = running.rows.max(1) as f64;
        *position = Position { epoch: position.epoch + 1, cursor: 0, ..*position };
        epochs.push(EpochRecord {
            epoch: position.epoch,
            loss: running.loss / rows,
            accuracy: running.hits as f64 / rows,
            val_loss: validated.map(|v| v.0),
            val_accuracy: validated.map(|v| v.1),
            learning_rate,
        });
        *running = Running::default();
        self.good.0 = *position;
        self.program.refresh(&mut self.good.1)?;
        self.order = self.order_of(self.progress.position.epoch);
        self.judge();
        Ok(())
    }

    /// Compares the epoch with the best one, and stops where there was no better one for too long.
    fn judge(&mut self) {
        let stopping = self.options.early_stopping.clone();
        let Some(record) = self.progress.epochs.last() else { return };
        let (monitor, value) = monitored(record, stopping.as_ref());
        let min_delta = stopping.as_ref().map_or(0.0, |s| s.min_delta);
        let gain = |best: f64| if monitor == Monitor::ValAccuracy { value - best } else { best - value };
        // NaN is never better.
        let is_better = self.progress.best.map_or(!value.is_nan(), |(_, best)| gain(best) > min_delta);
        if is_better {
            self.progress.best = Some((record.epoch, value));
        }
        let Some(EarlyStopping { patience, restore_best, .. }) = stopping else { return };
        if is_better && restore_best {
            self.best = Some(self.good.1.clone());
        }
        let best_epoch = self.progress.best.map_or(0, |(epoch, _)| epoch);
        if record.epoch - best_epoch >= patience && record.epoch < self.options.epochs {
            self.stopped = Some(StoppedBy::EarlyStopping);
        }
    }

    /// The step for `rows` rows, with all that the other one has learnt.
    fn program_for(&mut self, rows: usize) -> Result<()> {
        let wanted = if self.program.couples_rows { rows } else { self.batch };
        if self.program.batch == wanted {
            return Ok(());
        }
        let mut other = match self.remainder.take().filter(|other| other.batch == wanted) {
            Some(other) => other,
            None => {
                let (updater, batch_norm) = (self.options.updater.as_ref(), self.options.batch_norm);
                let learning = Learning { settings: &self.settings, updater, batch_norm };
                Program::new(&self.tail, wanted, &learning, self.budget)?
            }
        };
        other.restore(&self.program.snapshot()?)?;
        self.remainder = Some(std::mem::replace(&mut self.program, other));
        Ok(())
    }

    /// Writes the inputs of the next step; gives the number of its rows.
    pub(super) fn feed(&mut self) -> Result<usize> {
        let Position { epoch, iteration, cursor } = self.progress.position;
        let end = (cursor + self.batch).min(self.order.len());
        self.program_for(end - cursor)?;
        let Program { backend, features, heads, rates, masks, batch, .. } = &mut self.program;
        let inputs = &mut self.inputs;
        inputs.gather(&self.train, &self.order[cursor..end], *batch, &self.targets);
        features.iter().zip(&inputs.features).try_for_each(|(name, values)| backend.write(name, values))?;
        heads.iter().zip(&inputs.targets).try_for_each(|(head, values)| backend.write(&head.targets, values))?;
        backend.write(ROW_WEIGHTS, &inputs.row_weights)?;
        for rate in rates {
            backend.write(&rate.input, &rate.updater.scalars(iteration, epoch))?;
        }
        for (index, mask) in masks.iter().enumerate() {
            backend.write(&mask.input, &draw(mask, self.seed, iteration, index as u64))?;
        }
        Ok(end - cursor)
    }

    /// Runs the step on the next batch; gives how long each part of it took, by the clock `now`. The parameters learn from it,
    /// the run does not count it: for measuring alone.
    pub fn profile(&mut self, now: &mut dyn FnMut() -> f64) -> Result<Vec<StepTime>> {
        self.feed()?;
        self.program.backend.profile(now)
    }

    fn update(&mut self) -> Result<()> {
        let rows = self.feed()?;
        let ends_epoch = self.progress.position.cursor + rows >= self.order.len();
        if ends_epoch {
            self.program.refresh_parameters(&mut self.before)?;
        }
        self.program.backend.run()?;
        let mut mean = 0.0;
        for head in &self.program.heads {
            let losses = self.program.backend.read(&head.losses)?.iter().zip(&self.inputs.row_weights);
            mean += losses.map(|(l, w)| f64::from(*l) * f64::from(*w)).sum::<f64>();
        }
        if !mean.is_finite() {
            return self.diverge();
        }
        let hits = self.hits(rows)?;
        if ends_epoch {
            self.ratios = self.update_ratios()?;
        }
        let Progress { position, running, iterations, .. } = &mut self.progress;
        running.hits += hits;
        running.loss += mean * rows as f64;
        running.rows += rows;
        iterations.push(IterationRecord { loss: mean });
        position.cursor += rows;
        position.iteration += 1;
        Ok(())
    }

    fn hits(&self, rows: usize) -> Result<usize> {
        let Some(head) = self.program.heads.first() else { return Ok(0) };
        let targets = self.targets.heads.targets(0, &self.inputs.labels, self.train.labels().len());
        Ok(hits(self.program.backend.read(&head.predictions)?, head.columns, targets.take(rows)))
    }

    fn update_ratios(&self) -> Result<BTreeMap<String, f64>> {
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for name in &self.program.parameters {
            let Some(layer) = self.program.layer_of.get(name) else { continue };
            let now = self.program.backend.read(name)?;
            let sum = sums.entry(layer).or_default();
            let (update, size) = magnitudes(now, self.before.get(name).map_or(&[], Vec::as_slice));
            *sum = (sum.0 + update, sum.1 + size);
        }
        let ratio = |(update, size): (f64, f64)| libm::log10(update / size);
        let all = sums.into_iter().map(|(layer, sum)| (layer.to_owned(), ratio(sum)));
        Ok(all.filter(|(_, ratio)| ratio.is_finite()).collect())
    }

    /// Mean loss and accuracy on the validation set.
    fn validate(&mut self) -> Result<Option<(f64, f64)>> {
        let (Some(forward), Some(set)) = (&mut self.forward, &self.validation) else { return Ok(None) };
        for name in &self.program.parameters {
            forward.backend.write(name, self.program.backend.read(name)?)?;
        }
        let rows = set.plain_rows();
        let (mut loss, mut right) = (0.0, 0);
        for chunk in rows.chunks(self.batch) {
            let batch = &mut self.inputs;
            batch.gather_plain(set, chunk, self.batch, &self.targets.heads);
            for (name, values) in self.program.features.iter().zip(&batch.features) {
                forward.backend.write(name, values)?;
            }
            for (head, values) in self.program.heads.iter().zip(&batch.targets) {
                forward.backend.write(&head.targets, values)?;
            }
            forward.backend.run()?;
            for (index, head) in self.program.heads.iter().enumerate() {
                let losses = &forward.backend.read(&head.losses)?[..chunk.len()];
                loss += losses.iter().map(|l| f64::from(*l)).sum::<f64>();
                if index == 0 {
                    let predictions = forward.backend.read(&head.predictions)?;
                    let targets = batch.targets[0].chunks_exact(head.columns).take(chunk.len());
                    right += hits(predictions, head.columns, targets);
                }
            }
        }
        let count = rows.len() as f64;
        Ok(Some((loss / count, right as f64 / count)))
    }

    /// Values of all trained parameters: those of the best epoch where early stopping restores it, unless the run was aborted.
    pub fn parameters(&self, stopped_by: StoppedBy) -> Result<Parameters> {
        let best = self.best.as_ref().filter(|_| stopped_by != StoppedBy::Aborted);
        let parameter = |name: &String| -> Result<(String, Tensor)> {
            let shape = self.program.backend.plan().named(name)?.shape.clone();
            let values = match best.and_then(|best| best.get(name)) {
                Some(values) => values.clone(),
                None => self.program.backend.read(name)?.to_vec(),
            };
            Ok((name.clone(), Tensor::f32(shape, values)?))
        };
        self.program.parameters.iter().map(parameter).collect()
    }

    /// What the run brought so far. `stopped_by` is what the caller knows of its end.
    pub fn history(&self, stopped_by: StoppedBy) -> History {
        History {
            epochs: self.progress.epochs.clone(),
            iterations: self.progress.iterations.clone(),
            stopped_by,
            best_epoch: self.progress.best.map_or(0, |(epoch, _)| epoch),
            divergence: self.divergence.clone(),
        }
    }

    /// Goes on from where another run of the same step was.
    pub(super) fn resume(&mut self, progress: Progress, now: &Snapshot, best: Option<Snapshot>) -> Result<()> {
        self.program.restore(now)?;
        self.good = (progress.position, now.clone());
        self.order = self.order_of(progress.position.epoch);
        (self.progress, self.best) = (progress, best);
        Ok(())
    }
}

/// Sums of `|now − before|` and of `|before|`.
fn magnitudes(now: &[f32], before: &[f32]) -> (f64, f64) {
    /// Sums that are kept side by side, so that they are vectorised.
    const LANES: usize = 8;
    let (mut update, mut size) = ([0f64; LANES], [0f64; LANES]);
    let mut add = |now: &[f32], before: &[f32]| {
        for (((update, size), now), before) in update.iter_mut().zip(&mut size).zip(now).zip(before) {
            *update += f64::from((now - before).abs());
            *size += f64::from(before.abs());
        }
    };
    let ((now, now_rest), (before, before_rest)) = (now.as_chunks::<LANES>(), before.as_chunks::<LANES>());
    now.iter().zip(before).for_each(|(now, before)| add(now, before));
    add(now_rest, before_rest);
    (update.iter().sum(), size.iter().sum())
}

/// Inverted dropout (Srivastava et al. 2014, section 10): 0 with probability `rate`, else `1 / (1 − rate)`.
fn draw(mask: &Mask, seed: u64, iteration: u64, index: u64) -> Vec<f32> {
    let mut rng = Rng::for_item(seed.wrapping_add(index), Stream::Dropout, iteration);
    let (rate, kept) = (f64::from(mask.rate), 1.0 / (1.0 - mask.rate));
    (0..mask.shape.len()).map(|_| if rng.uniform() < rate { 0.0 } else { kept }).collect()
}
