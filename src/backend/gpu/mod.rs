//! Runs plans on WebGPU. All that a run needs is made when the plan is: pipelines, buffers, parameters, bind groups. A run encodes
//! the recorded dispatches into one command buffer and submits it once.

#![cfg_attr(
    target_arch = "wasm32",
    expect(clippy::arc_with_non_send_sync, reason = "objects of browsers stay in one thread, natively they do not")
)]

mod arenas;
mod checks;
mod counters;
mod device;
mod halves;
mod memory;
mod pipelines;
mod pool;
mod profile;
mod readback;
mod record;
mod timed;

use std::sync::Arc;

pub use arenas::Arena;
pub use counters::GpuCounters;
pub use device::{Gpu, GpuInfo, GpuOptions};
pub use halves::Half;
pub use pool::POOL_BYTES;
pub use record::{Recording, record};

use super::readback::Request;
use crate::error::{Error, Result};
use crate::plan::{Location, Plan};
use crate::tensor::{Floats, Rows};
use checks::Checks;
use memory::Memory;
use pool::Usage;
use profile::StepCommands;
pub(super) use readback::Pending;

/// A dispatch that is ready to run.
#[derive(Debug)]
struct Command {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    grid: [u32; 2],
}

impl Command {
    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], 1);
    }
}

/// A plan with its memory and commands on a device.
#[derive(Debug)]
pub struct GpuBackend {
    gpu: Gpu,
    plan: Plan,
    memory: Memory,
    commands: Vec<Command>,
    steps: Vec<StepCommands>,
    checks: Arc<Checks>,
}

impl GpuBackend {
    /// Makes everything that runs need. In browsers, errors of pipelines show at the latest when values are read.
    ///
    /// # Errors
    /// `no-gpu` for an op without a kernel; `over-budget` for what is too large for the device; `internal`, with the vertex, for a
    /// pipeline that the device refuses.
    pub fn new(mut plan: Plan, gpu: &Gpu) -> Result<Self> {
        gpu.check()?;
        let recording = record(&plan, gpu.limits())?;
        let checks = Arc::new(Checks::default());
        let memory = checks.watch(gpu, None, None, || Memory::new(&plan, &recording, gpu))?;
        let mut commands = Vec::with_capacity(recording.dispatches.len());
        for (index, (step, dispatch)) in recording.dispatches.iter().enumerate() {
            let vertex = plan.steps.get(*step).map(|s| s.vertex.as_str());
            commands.push(checks.watch(gpu, vertex, Some(dispatch), || {
                let pipeline = gpu.shared().pipelines.get(dispatch);
                let bindings = memory.bind(gpu, &pipeline.layout, index, dispatch)?;
                Ok::<_, Error>(Command { pipeline: pipeline.pipeline, bindings, grid: dispatch.grid })
            })?);
        }
        let steps = profile::costs(&recording);
        // What was of use has been uploaded.
        plan.scaled.clear();
        let backend = Self { gpu: gpu.clone(), plan, memory, commands, steps, checks };
        backend.checks.poll(gpu)?;
        Ok(backend)
    }

    /// See [`super::Backend::write`].
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let Ok(read) = self.plan.named(name) else { return Ok(()) };
        match read.at {
            // Halves would be widened over it.
            Location::Slot(slot) if read.shape.len() == values.len() && !self.plan.is_halves(slot) => {
                self.guarded(|| self.memory.write(&self.gpu, slot, values))
            }
            _ => Err(read.refuses(name, values.len())),
        }
    }

    /// See [`super::Backend::write_rows`].
    pub fn write_rows(&mut self, name: &str, all: &Rows, rows: &[usize]) -> Result<()> {
        let Ok(read) = self.plan.named(name) else { return Ok(()) };
        let Location::Slot(slot) = read.at else { return Err(read.refuses(name, rows.len() * all.len)) };
        if !read.takes(all, rows) {
            return Err(read.refuses(name, rows.len() * all.len));
        }
        if self.plan.is_halves(slot) {
            return match all.pick(rows).elements {
                Floats::F16(values) => self.guarded(|| self.memory.write_halves(&self.gpu, slot, &values)),
                Floats::F32(values) => Err(read.refuses(name, values.len())),
            };
        }
        self.write(name, &all.widened(rows))
    }

    /// Submits all steps and does not wait for them.
    pub fn run(&mut self) -> Result<()> {
        self.submit(true, None)
    }

    /// Submits all steps, where `steps`, and the copies of what is asked for, in one command buffer.
    pub(super) fn read_after(&mut self, steps: bool, request: &Request) -> Result<Pending> {
        let bytes = (request.len() as u64 * 4).max(4);
        let (staging, _) = self.gpu.shared().pool.take(Usage::Staging, bytes);
        self.submit(steps, Some((request, &staging)))?;
        Ok(Pending::new(self.gpu.clone(), Arc::clone(&self.checks), staging, bytes))
    }

    fn submit(&mut self, steps: bool, read: Option<(&Request, &wgpu::Buffer)>) -> Result<()> {
        self.gpu.check()?;
        self.guarded(|| self.encode(steps, read))
    }

    /// Does something with what was made. As long as it may turn out to be refused, so may this: the errors are told in their order.
    fn guarded(&self, work: impl FnOnce()) -> Result<()> {
        match self.checks.poll(&self.gpu)? {
            true => work(),
            false => self.checks.watch(&self.gpu, None, None, work),
        }
        Ok(())
    }

    fn encode(&self, steps: bool, read: Option<(&Request, &wgpu::Buffer)>) {
        let shared = self.gpu.shared();
        let mut encoder = shared.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if steps && !self.commands.is_empty() {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.commands.iter().for_each(|command| command.encode(&mut pass));
        }
        if let Some((request, staging)) = read {
            for (span, read) in request.reads() {
                if let Location::Slot(slot) = read.at {
                    let ((source, offset), bytes) = (self.memory.slot(slot), read.shape.len() as u64 * 4);
                    encoder.copy_buffer_to_buffer(source, offset, staging, span.start as u64 * 4, bytes);
                }
            }
        }
        shared.queue.submit([encoder.finish()]);
        let mut counters = shared.counters.lock();
        counters.submits += 1;
        counters.dispatches += if steps { self.commands.len() as u64 } else { 0 };
    }

    /// The plan that runs here.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it runs.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }
}

impl Drop for GpuBackend {
    fn drop(&mut self) {
        self.memory.give_back(&self.gpu);
    }
}
