//! The training loop, one update at a time, so that the caller decides how long to go on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::batch::{Batch, Heads, Targets};
use super::options::{Divergence, FitOptions, History, StoppedBy};
use super::pending::Update;
use super::program::{Forward, Mask, Parameters, Program, ROW_WEIGHTS, Snapshot};
use super::progress::{Position, Progress, Running, Status};
use super::updates::Learning;
use crate::backend::{Device, Readback, StepTime, at_once};
use crate::data::{FeatureSet, Rng, Stream};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::transfer::Settings;

/// Training of a tail on cached features.
#[derive(Debug)]
pub struct Trainer {
    pub(super) tail: Graph,
    pub(super) settings: Settings,
    pub(super) budget: Option<u64>,
    pub(super) device: Device,
    pub(super) program: Program,
    /// The step for the last, smaller batch of an epoch, where padding would change the results.
    pub(super) remainder: Option<Program>,
    pub(super) forward: Option<Forward>,
    pub(super) train: Arc<FeatureSet>,
    pub(super) validation: Option<Arc<FeatureSet>>,
    pub(super) targets: Targets,
    pub(super) options: FitOptions,
    pub(super) batch: usize,
    pub(super) seed: u64,
    pub(super) order: Vec<usize>,
    pub(super) progress: Progress,
    /// Updates that run, or ran, and whose losses were not looked at.
    pub(super) pending: VecDeque<Update>,
    /// Inputs of the step at work.
    pub(super) inputs: Batch,
    /// Parameters before the last update of an epoch.
    pub(super) before: Snapshot,
    /// The same, on their way from a GPU.
    pub(super) coming: Option<Readback>,
    /// Where training goes back to when values stop being numbers or a device is lost: the end of the last epoch.
    pub(super) good: Good,
    /// Values that were fetched after the last update.
    pub(super) fetched: Option<Snapshot>,
    /// Parameters of the best epoch, where they are to be restored.
    pub(super) best: Option<Snapshot>,
    pub(super) ratios: BTreeMap<String, f64>,
    pub(super) divergence: Option<Divergence>,
    pub(super) stopped: Option<StoppedBy>,
}

/// A place in the run with all that the run depends on from there.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) position: Position,
    pub(super) running: Running,
    pub(super) snapshot: Snapshot,
}

impl Trainer {
    /// [`Trainer::on`] the CPU.
    pub fn new(
        tail: &Graph,
        settings: &Settings,
        train: Arc<FeatureSet>,
        validation: Option<Arc<FeatureSet>>,
        options: FitOptions,
        budget: Option<u64>,
    ) -> Result<Self> {
        Self::on(&Device::Cpu, tail, settings, train, validation, options, budget)
    }

    /// Compiles the step. `tail` is cut by `Graph::split`; its inputs are the tensors of the feature sets, in order. `settings`
    /// are those of the model's layers.
    ///
    /// # Errors
    /// `bad-option` for options, an empty set or labels that do not fit the output; `conflict` where nothing can be trained; on a
    /// GPU those of [`crate::backend::Backend::new`].
    pub fn on(
        device: &Device,
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
        let program = Program::new(device, tail, batch, train.dtype(), &learning, budget)?;
        let outputs: Vec<(String, usize)> =
            program.heads.iter().map(|head| (head.predictions.clone(), head.columns)).collect();
        let heads = Heads::new(&outputs, &train)?;
        if let Some(other) = validation.as_ref().filter(|set| set.labels() != train.labels()) {
            let reason = format!("validation has {:?}, training {:?}", other.labels(), train.labels());
            return Err(Error::option("labels", reason));
        }
        let forward =
            |set: &Arc<FeatureSet>| Forward::new(device, tail, batch, set.dtype(), options.batch_norm, budget);
        let forward = validation.as_ref().map(forward).transpose()?;
        let mut trainer = Self {
            tail: tail.clone(),
            settings: settings.clone(),
            budget,
            device: device.clone(),
            pending: VecDeque::new(),
            inputs: Batch::default(),
            before: Snapshot::new(),
            coming: None,
            good: Good {
                position: Position::default(),
                running: Running::default(),
                snapshot: program.first_values(tail)?,
            },
            fetched: None,
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

    /// [`Trainer::advance`] where one can wait: on the CPU, and natively.
    pub fn step(&mut self) -> Result<Status> {
        at_once(self.advance())
    }

    /// One update; at the end of an epoch also validation. Does nothing once all is done. A GPU may still be at work on the
    /// last updates of an epoch: the losses known so far are those before.
    ///
    /// # Errors
    /// `device-lost`: [`Trainer::move_to`] goes on.
    pub async fn advance(&mut self) -> Result<Status> {
        if self.stopped_by().is_none() {
            self.update().await?;
        }
        if self.progress.position.cursor >= self.order.len() || self.stopped_by().is_some() {
            self.account(0).await?;
        }
        let running = self.progress.running;
        let epoch_ended = self.stopped.is_none() && self.progress.position.cursor >= self.order.len();
        if epoch_ended && self.progress.epochs.len() < self.options.epochs as usize {
            self.end_epoch().await?;
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
    pub(super) fn learning_rate(&self) -> f64 {
        let Position { epoch, iteration, .. } = self.progress.position;
        self.program.rates.first().map_or(0.0, |rate| rate.updater.learning_rate(iteration.saturating_sub(1), epoch))
    }

    /// Rows of an epoch in the order in which they are trained on.
    pub(super) fn order_of(&self, epoch: u32) -> Vec<usize> {
        // Each epoch is shuffled from the sorted order, so that it can be reached without the ones before it.
        let mut order = self.train.epoch_rows(self.seed, u64::from(epoch));
        if self.options.shuffle {
            Rng::for_item(self.seed, Stream::Shuffle, u64::from(epoch)).shuffle(&mut order);
        }
        order
    }

    /// The step for `rows` rows, with all that the other one has learnt.
    async fn program_for(&mut self, rows: usize) -> Result<()> {
        let wanted = if self.program.couples_rows { rows } else { self.batch };
        if self.program.batch == wanted {
            return Ok(());
        }
        let mut other = match self.remainder.take().filter(|other| other.batch == wanted) {
            Some(other) => other,
            None => {
                let dtype = self.train.dtype();
                Program::new(&self.device, &self.tail, wanted, dtype, &self.learning(), self.budget)?
            }
        };
        other.restore(&self.program.snapshot().await?)?;
        self.remainder = Some(std::mem::replace(&mut self.program, other));
        Ok(())
    }

    /// What parameters learn by.
    pub(super) fn learning(&self) -> Learning<'_> {
        let (updater, batch_norm) = (self.options.updater.as_ref(), self.options.batch_norm);
        Learning { settings: &self.settings, updater, batch_norm }
    }

    /// Writes the inputs of the next step; gives the number of its rows.
    pub(super) async fn feed(&mut self) -> Result<usize> {
        let Position { epoch, iteration, cursor } = self.progress.position;
        let end = (cursor + self.batch).min(self.order.len());
        self.program_for(end - cursor).await?;
        let Program { backend, features, heads, rates, masks, batch, .. } = &mut self.program;
        let inputs = &mut self.inputs;
        inputs.gather(&self.train, &self.order[cursor..end], *batch, &self.targets);
        inputs.write_features(&self.train, backend, features)?;
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
    pub async fn profile(&mut self, now: &mut dyn FnMut() -> f64) -> Result<Vec<StepTime>> {
        self.feed().await?;
        self.program.backend.profile(now).await
    }

    /// Values of all trained parameters: those of the best epoch where early stopping restores it, unless the run was aborted.
    /// On a GPU [`Trainer::arrive`] comes first.
    pub fn parameters(&self, stopped_by: StoppedBy) -> Result<Parameters> {
        let best = self.best.as_ref().filter(|_| stopped_by != StoppedBy::Aborted);
        let parameter = |name: &String| -> Result<(String, Tensor)> {
            let shape = self.program.backend.plan().named(name)?.shape.clone();
            let values = match best.and_then(|best| best.get(name)) {
                Some(values) => values.clone(),
                None => self.value(name)?.to_vec(),
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
    pub(super) fn resume(&mut self, progress: Progress, now: Snapshot, best: Option<Snapshot>) -> Result<()> {
        self.program.restore(&now)?;
        self.good = Good { position: progress.position, running: progress.running, snapshot: now };
        self.order = self.order_of(progress.position.epoch);
        (self.progress, self.best) = (progress, best);
        Ok(())
    }
}

/// Inverted dropout (Srivastava et al. 2014, section 10): 0 with probability `rate`, else `1 / (1 − rate)`.
fn draw(mask: &Mask, seed: u64, iteration: u64, index: u64) -> Vec<f32> {
    let mut rng = Rng::for_item(seed.wrapping_add(index), Stream::Dropout, iteration);
    let (rate, kept) = (f64::from(mask.rate), 1.0 / (1.0 - mask.rate));
    (0..mask.shape.len()).map(|_| if rng.uniform() < rate { 0.0 } else { kept }).collect()
}
