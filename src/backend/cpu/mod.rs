//! Runs plans with the kernels of `regraft-kernels`, one step after the other.

use std::ops::Range;
use std::sync::Arc;

use regraft_kernels::Scratch;

use super::StepTime;
use crate::error::{Error, Result};
use crate::ops::{CpuContext, Prepared, View};
use crate::plan::{Chain, Location, Piece, Plan, Step};
use crate::tensor::{Rows, Tensor};

/// A plan with its arena and prepared weights.
#[derive(Debug)]
pub struct CpuBackend {
    plan: Arc<Plan>,
    slots: Vec<Vec<f32>>,
    prepared: Vec<Weights>,
    scratch: Scratch,
}

/// Prepared weights of a step, and whether they hold for every run.
#[derive(Debug, Clone)]
struct Weights {
    prepared: Prepared,
    fixed: bool,
}

/// Floats of its slot that a step has written.
struct Written {
    step: usize,
    floats: Range<usize>,
}

impl CpuBackend {
    /// Allocates the arena and packs all weights that no run changes; what they were packed from is let go.
    pub fn new(mut plan: Plan) -> Result<Self> {
        // Packed weights take the place of products, and of what they were made of.
        plan.scaled.clear();
        let slots = arena(&plan)?;
        let last = last_readers(&plan);
        let nothing = Arc::new(Tensor::zeros([0]));
        let mut prepared = Vec::with_capacity(plan.steps.len());
        for (index, step) in plan.steps.iter().enumerate() {
            prepared.push(prepare(&plan.constants, step));
            for (constant, last) in plan.constants.iter_mut().zip(&last) {
                if *last == Some(index) {
                    *constant = Arc::clone(&nothing);
                }
            }
        }
        Ok(Self { plan: Arc::new(plan), slots, prepared, scratch: Scratch::default() })
    }

    /// See [`super::Backend::sibling`].
    pub fn sibling(&self) -> Result<Self> {
        let (plan, prepared) = (Arc::clone(&self.plan), self.prepared.clone());
        Ok(Self { slots: arena(&plan)?, plan, prepared, scratch: Scratch::default() })
    }

    /// See [`super::Backend::write`].
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let Ok(read) = self.plan.named(name) else { return Ok(()) };
        match read.at {
            Location::Slot(slot) if read.shape.len() == values.len() => {
                self.slots[slot][..values.len()].copy_from_slice(values);
                Ok(())
            }
            _ => Err(read.refuses(name, values.len())),
        }
    }

    /// See [`super::Backend::write_rows`].
    pub fn write_rows(&mut self, name: &str, all: &Rows, rows: &[usize]) -> Result<()> {
        let Ok(read) = self.plan.named(name) else { return Ok(()) };
        match read.at {
            Location::Slot(slot) if read.takes(all, rows) => {
                all.copy_to(rows, &mut self.slots[slot][..read.shape.len()]);
                Ok(())
            }
            _ => Err(read.refuses(name, rows.len() * all.len)),
        }
    }

    /// See [`super::Backend::flush`].
    pub fn flush(&mut self, name: &str) -> Result<()> {
        let read = self.plan.named(name)?;
        if let Location::Slot(slot) = read.at {
            regraft_kernels::flush(&mut self.slots[slot][..read.shape.len()]);
        }
        Ok(())
    }

    /// See [`super::Backend::run`].
    pub fn run(&mut self) {
        self.run_watched(&mut |_, _| true);
    }

    /// Runs until `goes_on` says no of what a step, or a piece of one, has written; gives the step. A step that updates in place
    /// writes nothing.
    fn run_watched(&mut self, goes_on: &mut dyn FnMut(&Self, Written) -> bool) -> Option<usize> {
        let plan = Arc::clone(&self.plan);
        let (mut chains, mut step) = (plan.chains.iter().peekable(), 0);
        while step < plan.steps.len() {
            if let Some(chain) = chains.next_if(|chain| chain.first == step) {
                let pieces = (0..chain.images).flat_map(|image| chain.pieces.iter().map(move |piece| (image, piece)));
                for (image, piece) in pieces {
                    let floats = self.execute_piece(chain, image, piece);
                    let step = chain.first + piece.stage;
                    if !goes_on(self, Written { step, floats }) {
                        return Some(step);
                    }
                }
                step += chain.len;
            } else {
                self.execute(step);
                if !goes_on(self, Written { step, floats: 0..plan.steps[step].shape.len() }) {
                    return Some(step);
                }
                step += 1;
            }
        }
        None
    }

    /// See [`super::Backend::profile`].
    pub fn profile(&mut self, now: &mut dyn FnMut() -> f64) -> Vec<StepTime> {
        let (mut times, mut last) = (vec![0.0; self.plan.steps.len()], now());
        self.run_watched(&mut |_, Written { step, .. }| {
            let time = now();
            times[step] += time - std::mem::replace(&mut last, time);
            true
        });
        self.plan.steps.iter().zip(times).map(|(step, time)| StepTime::new(step, time)).collect()
    }

    /// See [`super::Backend::run_checked`].
    pub fn run_checked(&mut self) -> Option<String> {
        let found = self.run_watched(&mut |backend, written| backend.is_finite(&written));
        found.map(|step| self.plan.steps[step].vertex.clone())
    }

    fn execute(&mut self, index: usize) {
        let (step, weights) = (&self.plan.steps[index], &mut self.prepared[index]);
        if step.op.updates() > 0 {
            update(&self.plan, &mut self.slots, step);
            return;
        }
        let mut y = std::mem::take(&mut self.slots[step.writes]);
        let mut cx = CpuContext { scratch: &mut self.scratch, prepared: &mut weights.prepared, fixed: weights.fixed };
        step.op.eval_cpu(&mut cx, &views(&self.plan, &self.slots, step, 0), &mut y[..step.shape.len()]);
        self.slots[step.writes] = y;
    }

    /// Runs a piece of a chain; gives the floats it wrote, in the slot.
    fn execute_piece(&mut self, chain: &Chain, image: usize, piece: &Piece) -> Range<usize> {
        let index = chain.first + piece.stage;
        let (step, weights) = (&self.plan.steps[index], &mut self.prepared[index]);
        let behind = |range: &Range<usize>, floats: usize| range.start + image * floats..range.end + image * floats;
        let len = step.shape.len() / chain.images;
        let whole = behind(&piece.place, len);
        let floats = if piece.stage + 1 == chain.len { whole.clone() } else { piece.y.clone() };
        let mut y = std::mem::take(&mut self.slots[step.writes]);
        y.copy_within(piece.kept.clone(), 0);
        let mut x = views(&self.plan, &self.slots, step, 0);
        let images = if piece.stage == 0 { step.reads[0].shape.len() / chain.images } else { 0 };
        if let Location::Slot(slot) = step.reads[0].at {
            x[0] = View { shape: &piece.x_shape, data: &self.slots[slot][behind(&piece.x, images)] };
        }
        if let Some(view) = piece.residual.and_then(|index| x.get_mut(index)) {
            *view = View { shape: &piece.y_shape, data: &view.data[whole] };
        }
        let mut cx = CpuContext { scratch: &mut self.scratch, prepared: &mut weights.prepared, fixed: weights.fixed };
        piece.op.eval_cpu(&mut cx, &x, &mut y[floats.clone()]);
        self.slots[step.writes] = y;
        floats
    }

    /// Whether all that was written are numbers.
    fn is_finite(&self, Written { step, floats }: &Written) -> bool {
        let step = &self.plan.steps[*step];
        let finite = |slot: usize, floats: Range<usize>| regraft_kernels::is_finite(&self.slots[slot][floats]);
        let updated = step.reads.iter().take(step.op.updates()).all(|read| match read.at {
            Location::Slot(slot) => finite(slot, 0..read.shape.len()),
            Location::Constant(_) => true,
        });
        updated && finite(step.writes, floats.clone())
    }

    /// See [`super::Backend::read`].
    pub fn read(&self, name: &str) -> Result<&[f32]> {
        let read = self.plan.named(name)?;
        Ok(elements(&self.plan, &self.slots, read.at, read.shape.len()))
    }

    /// Elements at a place of the plan.
    pub(super) fn elements(&self, at: Location, len: usize) -> &[f32] {
        elements(&self.plan, &self.slots, at, len)
    }

    /// The plan that runs here.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// The slots of a plan, with the values they start from.
fn arena(plan: &Plan) -> Result<Vec<Vec<f32>>> {
    let mut slots: Vec<Vec<f32>> = plan.slots.iter().map(|&len| vec![0.0; len]).collect();
    for (slot, value) in &plan.initial {
        let value = value.as_f32().ok_or_else(|| Error::internal("a parameter is not f32"))?;
        slots[*slot][..value.len()].copy_from_slice(value);
    }
    Ok(slots)
}

/// The last step that packs each constant which is not read again; `None` for those that are kept.
fn last_readers(plan: &Plan) -> Vec<Option<usize>> {
    let mut last = vec![None; plan.constants.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        for read in &step.reads {
            if let Location::Constant(c) = read.at {
                last[c] = plan.replaced[c].then_some(index);
            }
        }
    }
    last
}

fn prepare(constants: &[Arc<Tensor>], step: &Step) -> Weights {
    let types = step.types();
    let values: Vec<Option<&[f32]>> = step
        .reads
        .iter()
        .map(|r| match r.at {
            Location::Constant(c) => constants[c].as_f32(),
            Location::Slot(_) => None,
        })
        .collect();
    let prepared = step.op.prepare(&types.iter().collect::<Vec<_>>(), &values);
    let fixed = !matches!(prepared, Prepared::None);
    Weights { prepared, fixed }
}

fn elements<'a>(plan: &'a Plan, slots: &'a [Vec<f32>], at: Location, len: usize) -> &'a [f32] {
    let all = match at {
        Location::Constant(c) => plan.constants[c].as_f32().unwrap_or_default(),
        Location::Slot(s) => slots[s].as_slice(),
    };
    // Empty where an op reads the shape alone and the slot is at work elsewhere.
    all.get(..len).unwrap_or_default()
}

fn views<'a>(plan: &'a Plan, slots: &'a [Vec<f32>], step: &'a Step, skip: usize) -> Vec<View<'a>> {
    let read = |(index, read): (usize, &'a crate::plan::Read)| {
        let data = if step.reads_elements(index) { elements(plan, slots, read.at, read.shape.len()) } else { &[] };
        View { shape: &read.shape, data }
    };
    step.reads.iter().enumerate().skip(skip).map(read).collect()
}

/// Takes the updated slots out of the arena while the others are read.
fn update(plan: &Plan, slots: &mut [Vec<f32>], step: &Step) {
    let updated = &step.reads[..step.op.updates()];
    let mut taken: Vec<(usize, Vec<f32>)> = Vec::with_capacity(updated.len());
    for read in updated {
        if let Location::Slot(slot) = read.at {
            taken.push((slot, std::mem::take(&mut slots[slot])));
        }
    }
    let mut state: Vec<&mut [f32]> =
        taken.iter_mut().zip(updated).map(|((_, data), read)| &mut data[..read.shape.len()]).collect();
    step.op.update_cpu(&mut state, &views(plan, slots, step, updated.len()));
    for (slot, data) in taken {
        slots[slot] = data;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::ops::Dense;
    use crate::tensor::TensorType;

    #[test]
    fn what_weights_were_packed_from_is_let_go_unless_something_reads_it() -> Result<()> {
        let mut g = Graph::new();
        let x = g.input("x", TensorType::f32([4, 16]), true)?;
        let packed = g.constant("packed", Tensor::f32([16, 16], vec![0.5; 256])?)?;
        let output = g.constant("output", Tensor::f32([16, 16], vec![0.25; 256])?)?;
        let dense = Dense { bias: false, clamp: None };
        let y = g.add("y", dense.clone(), &[x, packed])?;
        let z = g.add("z", dense, &[y, output])?;
        g.set_outputs(vec![z, output]);
        let weak: Vec<_> = [packed, output].map(|id| g.get(id).value.as_ref().map(Arc::downgrade)).into();
        let plan = Plan::new(&g, None)?;
        drop(g);
        // Three values of 4×16, both matrices in panels, and the one that is an output.
        assert_eq!(plan.peak_bytes, 4 * (3 * 64 + 2 * 256 + 256));
        let mut backend = CpuBackend::new(plan)?;
        let alive: Vec<bool> = weak.iter().map(|w| w.as_ref().is_some_and(|w| w.upgrade().is_some())).collect();
        assert_eq!(alive, [false, true]);
        backend.write("x", &[1.0; 64])?;
        backend.run();
        assert_eq!(backend.read("z")?, [32.0; 64]);
        assert_eq!(backend.read("output")?, [0.25; 256]);
        Ok(())
    }
}
