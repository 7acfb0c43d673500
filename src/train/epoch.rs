//! What happens at the end of an epoch: validation, and whether another epoch follows.

use std::collections::BTreeMap;

use regraft_kernels as kernels;

use super::options::{EarlyStopping, EpochRecord, Monitor, StoppedBy};
use super::program::{Program, Snapshot};
use super::progress::{Position, Progress, Running, hits, monitored};
use super::trainer::Trainer;
use crate::error::Result;

impl Trainer {
    pub(super) async fn end_epoch(&mut self) -> Result<()> {
        if !self.program.backend.lies_in_memory() {
            self.fetched = Some(self.program.snapshot().await?);
        }
        self.ratios = self.update_ratios().await?;
        if !self.is_finite()? {
            return self.diverge(self.progress.position.iteration).await;
        }
        let validated = self.validate().await?;
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
        (self.good.position, self.good.running) = (*position, *running);
        match self.fetched.take() {
            Some(fetched) => self.good.snapshot = fetched,
            None => self.program.refresh(&mut self.good.snapshot)?,
        }
        self.order = self.order_of(self.progress.position.epoch);
        self.judge();
        Ok(())
    }

    /// Whether all parameters and updater states are numbers.
    fn is_finite(&self) -> Result<bool> {
        for name in self.program.kept() {
            if !kernels::is_finite(present(&self.program, self.fetched.as_ref(), name)?) {
                return Ok(false);
            }
        }
        Ok(true)
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
            self.best = Some(self.good.snapshot.clone());
        }
        let best_epoch = self.progress.best.map_or(0, |(epoch, _)| epoch);
        if record.epoch - best_epoch >= patience && record.epoch < self.options.epochs {
            self.stopped = Some(StoppedBy::EarlyStopping);
        }
    }

    async fn update_ratios(&mut self) -> Result<BTreeMap<String, f64>> {
        if let Some(mut coming) = self.coming.take() {
            coming.arrived().await?;
            for (index, name) in self.program.parameters.iter().enumerate() {
                self.before.insert(name.clone(), coming.get(index)?.to_vec());
            }
        }
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for name in &self.program.parameters {
            let Some(layer) = self.program.layer_of.get(name) else { continue };
            let now = present(&self.program, self.fetched.as_ref(), name)?;
            let sum = sums.entry(layer).or_default();
            let (update, size) = kernels::magnitudes(now, self.before.get(name).map_or(&[], Vec::as_slice));
            *sum = (sum.0 + update, sum.1 + size);
        }
        let ratio = |(update, size): (f64, f64)| libm::log10(update / size);
        let all = sums.into_iter().map(|(layer, sum)| (layer.to_owned(), ratio(sum)));
        Ok(all.filter(|(_, ratio)| ratio.is_finite()).collect())
    }

    /// Mean loss and accuracy on the validation set.
    async fn validate(&mut self) -> Result<Option<(f64, f64)>> {
        let (Some(forward), Some(set)) = (&mut self.forward, &self.validation) else { return Ok(None) };
        for name in &self.program.parameters {
            forward.backend.write(name, present(&self.program, self.fetched.as_ref(), name)?)?;
        }
        let (heads, rows) = (&self.program.heads, set.plain_rows());
        let (mut loss, mut right) = (0.0, 0);
        for chunk in rows.chunks(self.batch) {
            let batch = &mut self.inputs;
            batch.gather_plain(set, chunk, self.batch, &self.targets.heads);
            batch.write_features(set, &mut forward.backend, &self.program.features)?;
            for (head, values) in heads.iter().zip(&batch.targets) {
                forward.backend.write(&head.targets, values)?;
            }
            let read = forward.run().await?;
            for (index, head) in heads.iter().enumerate() {
                let losses = &forward.value(read.as_ref(), index, &head.losses)?[..chunk.len()];
                loss += losses.iter().map(|l| f64::from(*l)).sum::<f64>();
                if index == 0 {
                    let predictions = forward.value(read.as_ref(), heads.len(), &head.predictions)?;
                    let targets = batch.targets[0].chunks_exact(head.columns).take(chunk.len());
                    right += hits(predictions, head.columns, targets);
                }
            }
        }
        let count = rows.len() as f64;
        Ok(Some((loss / count, right as f64 / count)))
    }
}

/// A value as the last run left it: where it lies, or what was fetched of it.
fn present<'a>(program: &'a Program, fetched: Option<&'a Snapshot>, name: &str) -> Result<&'a [f32]> {
    match fetched.and_then(|fetched| fetched.get(name)) {
        Some(values) => Ok(values),
        None => program.backend.read(name),
    }
}
