//! Updates that were handed to the device: what they brought is looked at when it has come, which on a GPU is some updates later.

use std::sync::Arc;

use super::options::IterationRecord;
use super::program::{Forward, Program};
use super::progress::{Progress, hits};
use super::trainer::Trainer;
use crate::backend::{Device, Readback};
use crate::data::FeatureSet;
use crate::error::{Error, Result};

/// Runs that a GPU may be behind: one at work, one waiting for it, so that it never waits for the host. More would only let the
/// queue grow.
pub(super) const BEHIND: usize = 2;

/// Updates after which state that has decayed to nothing becomes 0, so that little of it ever is subnormal.
const FLUSHED_EVERY: u64 = 64;

/// An update on its way.
#[derive(Debug)]
pub(super) struct Update {
    iteration: u64,
    rows: usize,
    /// Of each row of the step.
    labels: Vec<f32>,
    weights: Vec<f32>,
    read: Readback,
}

impl Trainer {
    /// The next update. The CPU does it at once; a GPU is handed it, and what earlier ones brought is taken in.
    pub(super) async fn update(&mut self) -> Result<()> {
        let rows = self.feed().await?;
        let ends_epoch = self.progress.position.cursor + rows >= self.order.len();
        let iteration = self.progress.position.iteration;
        if self.program.backend.lies_in_memory() {
            if ends_epoch {
                self.program.refresh_parameters(&mut self.before)?;
            }
            self.program.backend.run()?;
            if iteration % FLUSHED_EVERY == FLUSHED_EVERY - 1 {
                let Program { backend, states, .. } = &mut self.program;
                states.iter().try_for_each(|state| backend.flush(state))?;
            }
            let brought = self.brought(rows, &self.inputs.labels, &self.inputs.row_weights, None)?;
            return self.take_in(iteration, rows, brought).await.map(|()| self.move_on(rows));
        }
        if ends_epoch {
            self.coming = Some(self.program.fetch_parameters()?);
        }
        let read = self.program.run_ahead()?;
        let (labels, weights) = (self.inputs.labels.clone(), self.inputs.row_weights.clone());
        self.pending.push_back(Update { iteration, rows, labels, weights, read });
        self.fetched = None;
        self.move_on(rows);
        // The first loss of an epoch is waited for: what is told of the epoch would else be nothing.
        self.account(if self.progress.running.rows == 0 { 0 } else { BEHIND }).await
    }

    /// Takes in what all updates but the last `behind` brought.
    pub(super) async fn account(&mut self, behind: usize) -> Result<()> {
        while self.pending.len() > behind {
            let Some(mut update) = self.pending.pop_front() else { break };
            update.read.arrived().await?;
            let brought = self.brought(update.rows, &update.labels, &update.weights, Some(&update.read))?;
            self.take_in(update.iteration, update.rows, brought).await?;
        }
        Ok(())
    }

    fn move_on(&mut self, rows: usize) {
        // Where values are no numbers, the place is that of the last good epoch.
        if self.stopped.is_none() {
            self.progress.position.cursor += rows;
            self.progress.position.iteration += 1;
        }
    }

    /// Mean loss of an update, and its hits.
    fn brought(&self, rows: usize, labels: &[f32], weights: &[f32], read: Option<&Readback>) -> Result<(f64, usize)> {
        let Program { heads, backend, .. } = &self.program;
        let value = |index, name: &str| read.map_or_else(|| backend.read(name), |read: &Readback| read.get(index));
        let (mut mean, mut right) = (0.0, 0);
        for (index, head) in heads.iter().enumerate() {
            let losses = value(index, &head.losses)?.iter().zip(weights);
            mean += losses.map(|(l, w)| f64::from(*l) * f64::from(*w)).sum::<f64>();
        }
        if let Some(head) = heads.first() {
            let targets = self.targets.heads.targets(0, labels, self.train.labels().len());
            right = hits(value(heads.len(), &head.predictions)?, head.columns, targets.take(rows));
        }
        Ok((mean, right))
    }

    async fn take_in(&mut self, iteration: u64, rows: usize, (mean, hits): (f64, usize)) -> Result<()> {
        if !mean.is_finite() {
            return self.diverge(iteration).await;
        }
        let Progress { running, iterations, .. } = &mut self.progress;
        running.hits += hits;
        running.loss += mean * rows as f64;
        running.rows += rows;
        iterations.push(IterationRecord { loss: mean });
        Ok(())
    }

    /// Waits for all that the updates so far did; [`Trainer::checkpoint`] and [`Trainer::parameters`] then give it.
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub async fn arrive(&mut self) -> Result<()> {
        self.account(0).await?;
        if !self.program.backend.lies_in_memory() && self.progress.position != self.good.position {
            self.fetched = Some(self.program.snapshot().await?);
        }
        Ok(())
    }

    /// A parameter or updater state as the last update left it.
    pub(super) fn value(&self, name: &str) -> Result<&[f32]> {
        if self.program.backend.lies_in_memory() {
            return self.program.backend.read(name);
        }
        let is_good = self.pending.is_empty() && self.progress.position == self.good.position;
        let known = if is_good { Some(&self.good.snapshot) } else { self.fetched.as_ref() };
        let value = known.and_then(|known| known.get(name));
        value.map(Vec::as_slice).ok_or_else(|| Error::internal(format!("'{name}' was read before it had come")))
    }

    /// Goes on on another device, or on the same one made anew, from the end of the last epoch. For a device that was lost: the
    /// updates since are repeated, and the run ends as the undisturbed one does, but for rounding.
    ///
    /// # Errors
    /// Those of [`crate::backend::Backend::new`]; the run can then be moved elsewhere.
    pub fn move_to(&mut self, device: &Device) -> Result<()> {
        self.place_on(device)?;
        self.forget_pending();
        self.program.restore(&self.good.snapshot)?;
        self.progress.position = self.good.position;
        self.progress.running = self.good.running;
        self.progress.iterations.truncate(self.good.position.iteration as usize);
        Ok(())
    }

    /// Compiles the step for a device; its values are the first ones.
    pub(super) fn place_on(&mut self, device: &Device) -> Result<()> {
        let Self { tail, batch, train, options, budget, .. } = &*self;
        let program = Program::new(device, tail, *batch, train.dtype(), &self.learning(), *budget)?;
        let forward =
            |set: &Arc<FeatureSet>| Forward::new(device, tail, *batch, set.dtype(), options.batch_norm, *budget);
        self.forward = self.validation.as_ref().map(forward).transpose()?;
        (self.program, self.remainder, self.device) = (program, None, device.clone());
        Ok(())
    }

    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
        (self.coming, self.fetched) = (None, None);
    }
}
