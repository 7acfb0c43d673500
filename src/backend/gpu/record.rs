//! From a plan to the dispatches of one run.

use std::collections::BTreeMap;

use super::arenas::{Arena, join_updates};
use super::halves::{self, Half};
use crate::error::Result;
use crate::kernels::wgsl::{Dispatch, Kernel, Place, Region};
use crate::ops::{GpuContext, GpuLimits, GpuView, Scratches};
use crate::plan::{Location, Plan};
use crate::tensor::Shape;

/// Dispatches in order, each with the step it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Position in `Plan::steps`, and what runs for it.
    pub dispatches: Vec<(usize, Dispatch)>,
    /// Elements of the working memories that steps share one after the other.
    pub scratch: Scratches,
    /// Slots that share buffers.
    pub arenas: Vec<Arena>,
    /// Constants that kernels may read as 16-bit floats.
    pub halves: BTreeMap<usize, Half>,
}

/// Asks each op of the plan for its dispatches, and joins those of updaters. No device is needed for it.
///
/// # Errors
/// `no-gpu` for an op without a kernel; `over-budget` for values that are too large for the device.
pub fn record(plan: &Plan, limits: GpuLimits) -> Result<Recording> {
    let halves = if limits.halves { halves::find(plan) } else { BTreeMap::new() };
    let mut recording = Recording { dispatches: Vec::new(), scratch: [0; 2], arenas: Vec::new(), halves };
    // Inputs that were written as 16-bit floats, each until the first step that reads it.
    let mut written = plan.halves.clone();
    for (index, step) in plan.steps.iter().enumerate() {
        let mut cx = GpuContext::new(limits, &step.vertex);
        for read in &step.reads {
            if let Location::Slot(slot) = read.at
                && let Some(index) = written.iter().position(|(half, _)| *half == slot)
            {
                let (slot, len) = written.swap_remove(index);
                let [x, y] = [Place::Written(slot), Place::Slot(slot)].map(|place| Region { place, first: 0, len });
                cx.dispatch_each(&Kernel::new(include_str!("widen.wgsl")), &[x], &[y], len.div_ceil(4), &[])?;
            }
        }
        let x: Vec<GpuView<'_>> = step.reads.iter().map(|r| view(r.at, &r.shape, &recording.halves)).collect();
        step.op.encode_gpu(&mut cx, &x, view(Location::Slot(step.writes), &step.shape, &recording.halves))?;
        let (dispatches, scratch) = cx.finish();
        recording.scratch = [0, 1].map(|index| recording.scratch[index].max(scratch[index]));
        recording.dispatches.extend(dispatches.into_iter().map(|d| (index, d)));
    }
    join_updates(recording, plan, limits)
}

fn view<'a>(at: Location, shape: &'a Shape, halves: &BTreeMap<usize, Half>) -> GpuView<'a> {
    let (place, half) = match at {
        Location::Slot(slot) => (Place::Slot(slot), false),
        Location::Constant(constant) => (Place::Constant(constant), halves.contains_key(&constant)),
    };
    GpuView { shape, region: Region { place, first: 0, len: shape.len() }, half }
}
