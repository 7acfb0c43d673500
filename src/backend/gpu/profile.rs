//! What the steps of a plan cost: by count, and by the clock.

use std::future::poll_fn;
use std::ops::Range;

use super::GpuBackend;
use super::pool::Usage;
use super::readback::Pending;
use super::record::Recording;
use crate::backend::{GpuCost, StepTime};
use crate::error::Result;
use crate::kernels::wgsl::Dispatch;

/// Runs of a step in one submission, so that what a submission costs is a small part of the time.
const REPEATS: u32 = 4;

/// Dispatches of a step among all, and what they cost.
#[derive(Debug, Clone)]
pub(super) struct StepCommands {
    /// Position in `Plan::steps`.
    step: usize,
    commands: Range<usize>,
    cost: GpuCost,
}

/// What the steps of a recording cost; those without a dispatch cost nothing and are left out.
pub(super) fn costs(recording: &Recording) -> Vec<StepCommands> {
    let mut all: Vec<StepCommands> = Vec::new();
    let mut seen: Vec<&Dispatch> = Vec::new();
    for (index, (step, dispatch)) in recording.dispatches.iter().enumerate() {
        if all.last().is_none_or(|last| last.step != *step) {
            all.push(StepCommands { step: *step, commands: index..index, cost: GpuCost::default() });
            seen.clear();
        }
        let Some(StepCommands { commands, cost, .. }) = all.last_mut() else { continue };
        commands.end = index + 1;
        cost.dispatches += 1;
        cost.invocations += u64::from(dispatch.grid[0]) * u64::from(dispatch.grid[1]) * dispatch.kernel.invocations();
        cost.macs += dispatch.work.macs;
        cost.loads += dispatch.work.loads;
        // Slices of a dispatch share what they read and write.
        if !seen.iter().any(|other| other.bindings == dispatch.bindings) {
            cost.bytes += bytes(dispatch);
            seen.push(dispatch);
        }
    }
    all
}

/// Of all that is bound; what an updater changes in place is counted once.
fn bytes(dispatch: &Dispatch) -> u64 {
    dispatch.bindings.iter().map(|binding| binding.region.bytes()).sum()
}

impl GpuBackend {
    /// See [`crate::backend::Backend::profile`].
    pub(in crate::backend) async fn profile(&mut self, now: &mut dyn FnMut() -> f64) -> Result<Vec<StepTime>> {
        self.time(0..0, now).await?;
        let empty = self.time(0..0, now).await?;
        let mut times = Vec::with_capacity(self.steps.len());
        for StepCommands { step, commands, cost } in self.steps.clone() {
            let time = (self.time(commands, now).await? - empty) / f64::from(REPEATS);
            times.push(StepTime { gpu: Some(cost), ..StepTime::new(&self.plan.steps[step], time) });
        }
        Ok(times)
    }

    /// Time of some dispatches, run [`REPEATS`] times in one submission, until the host knows that they are done.
    async fn time(&self, commands: Range<usize>, now: &mut dyn FnMut() -> f64) -> Result<f64> {
        self.gpu.check()?;
        let shared = self.gpu.shared();
        let (staging, _) = shared.pool.take(Usage::Staging, 4);
        let begin = now();
        let mut encoder = shared.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            (0..REPEATS).for_each(|_| self.commands[commands.clone()].iter().for_each(|c| c.encode(&mut pass)));
        }
        if !self.plan.slots.is_empty() {
            let (source, offset) = self.memory.slot(0);
            encoder.copy_buffer_to_buffer(source, offset, &staging, 0, 4);
        }
        shared.queue.submit([encoder.finish()]);
        let mut pending = Pending::new(self.gpu.clone(), self.checks.clone(), staging, 4);
        if !cfg!(target_arch = "wasm32") {
            pending.block();
        }
        poll_fn(|cx| pending.poll(cx)).await?;
        Ok(now() - begin)
    }
}
