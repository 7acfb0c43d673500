//! Updates of many values by one dispatch: values that an updater treats alike lie one after the other in one buffer.

use std::collections::BTreeMap;

use super::record::Recording;
use crate::error::Result;
use crate::kernels::wgsl::{Binding, Dispatch, Place, Region};
use crate::ops::{GpuContext, GpuLimits};
use crate::plan::Plan;

/// Slots that share a buffer, each with its first element in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arena {
    /// In order.
    pub slots: Vec<(usize, usize)>,
    /// Elements of the buffer.
    pub len: usize,
}

/// Arenas so far, and the arena of each slot that is in one.
#[derive(Debug, Clone, Default)]
struct Layout {
    arenas: Vec<Arena>,
    of_slot: BTreeMap<usize, usize>,
}

/// Joins updates that follow each other and differ in nothing but the values they work on. What lies between values, to keep their
/// alignment, is updated too and never read.
///
/// # Errors
/// As [`GpuContext::dispatch`].
pub(super) fn join_updates(recording: Recording, plan: &Plan, limits: GpuLimits) -> Result<Recording> {
    let mut layout = Layout::default();
    let mut joined = Vec::with_capacity(recording.dispatches.len());
    let all = &recording.dispatches;
    let mut at = 0;
    while at < all.len() {
        let end = at + all[at..].iter().take_while(|(step, d)| is_update(plan, *step) && alike(&all[at].1, d)).count();
        let run = longest(&all[at..end.max(at + 1)], plan, limits);
        match layout.place(&all[at..at + run], plan, limits) {
            Some(extent) => joined.extend(join(&all[at..at + run], extent, plan, limits)?),
            None => joined.extend_from_slice(&all[at..at + run]),
        }
        at += run;
    }
    let possible = joined.iter().all(|(_, dispatch)| layout.allows(dispatch));
    Ok(if possible { Recording { dispatches: joined, arenas: layout.arenas, ..recording } } else { recording })
}

fn is_update(plan: &Plan, step: usize) -> bool {
    plan.steps.get(step).is_some_and(|step| step.op.updates() > 0)
}

/// Whether both do the same to other values.
fn alike(a: &Dispatch, b: &Dispatch) -> bool {
    let kinds = |d: &Dispatch| d.bindings.iter().map(|b| b.written).collect::<Vec<_>>();
    a.by_element
        && b.by_element
        && a.kernel == b.kernel
        && a.params.get(3..) == b.params.get(3..)
        && kinds(a) == kinds(b)
}

/// Elements of a value in an arena: the next one starts aligned.
fn extent(dispatch: &Dispatch, plan: &Plan, limits: GpuLimits) -> usize {
    let slots = dispatch.bindings.iter().filter_map(|b| own_slot(dispatch, b));
    let longest = slots.filter_map(|slot| plan.slots.get(slot).copied()).max().unwrap_or(0);
    longest.next_multiple_of((limits.alignment as usize / 4).max(4))
}

/// The slot of a binding that is one of the values the dispatch works on.
fn own_slot(dispatch: &Dispatch, binding: &Binding) -> Option<usize> {
    let len = dispatch.bindings.iter().find(|b| b.written).map(|b| b.region.len);
    match binding.region {
        Region { place: Place::Slot(slot), first: 0, len: own } if Some(own) == len => Some(slot),
        _ => None,
    }
}

/// How many of the first of a run fit a buffer and a binding.
fn longest(run: &[(usize, Dispatch)], plan: &Plan, limits: GpuLimits) -> usize {
    let most = limits.binding_bytes.min(limits.buffer_bytes) as usize / 4;
    let mut total = 0;
    let fits = |(_, dispatch): &&(usize, Dispatch)| {
        total += extent(dispatch, plan, limits);
        total <= most
    };
    run.iter().take_while(fits).count().max(1)
}

impl Layout {
    /// Gives the values of a run their places, or finds them there already; the elements of all of them. `None`: the run stays as
    /// it is.
    fn place(&mut self, run: &[(usize, Dispatch)], plan: &Plan, limits: GpuLimits) -> Option<usize> {
        let [(_, first), (_, second), ..] = run else { return None };
        let mut next = self.clone();
        let extents: Vec<usize> = run.iter().map(|(_, dispatch)| extent(dispatch, plan, limits)).collect();
        for index in (0..first.bindings.len()).filter(|&i| first.bindings[i] != second.bindings[i]) {
            let slots: Option<Vec<usize>> = run.iter().map(|(_, d)| own_slot(d, &d.bindings[index])).collect();
            next.arena(&slots?, &extents)?;
        }
        for index in (0..first.bindings.len()).filter(|&i| first.bindings[i] == second.bindings[i]) {
            run.iter().all(|(_, d)| d.bindings[index] == first.bindings[index]).then_some(())?;
        }
        *self = next;
        Some(extents.iter().sum())
    }

    /// Slots one after the other, in an arena of their own or in one that has them so.
    fn arena(&mut self, slots: &[usize], extents: &[usize]) -> Option<()> {
        let firsts = extents.iter().scan(0, |end, extent| {
            let first = *end;
            *end += extent;
            Some(first)
        });
        let wanted = Arena { slots: slots.iter().copied().zip(firsts).collect(), len: extents.iter().sum() };
        if self.arenas.contains(&wanted) {
            return Some(());
        }
        for &slot in slots {
            // A slot that is there already is in another order, or twice in the run.
            self.of_slot.insert(slot, self.arenas.len()).is_none().then_some(())?;
        }
        self.arenas.push(wanted);
        Some(())
    }

    /// Whether no buffer is both read and written.
    fn allows(&self, dispatch: &Dispatch) -> bool {
        let arena = |b: &Binding| match b.region.place {
            Place::Slot(slot) => self.of_slot.get(&slot).copied(),
            _ => None,
        };
        let shared =
            |b: &Binding| arena(b).is_some_and(|of| dispatch.bindings.iter().any(|o| o != b && arena(o) == Some(of)));
        !dispatch.bindings.iter().filter(|b| b.written).any(shared)
    }
}

/// One dispatch for all values of a run that has its places.
fn join(run: &[(usize, Dispatch)], len: usize, plan: &Plan, limits: GpuLimits) -> Result<Vec<(usize, Dispatch)>> {
    let [(step, first), (_, second), ..] = run else { return Ok(run.to_vec()) };
    let vertex = plan.steps.get(*step).map_or("", |step| step.vertex.as_str());
    let mut cx = GpuContext::new(limits, vertex);
    let whole = |(a, b): (&Binding, &Binding)| if a == b { a.region } else { Region { len, ..a.region } };
    let regions: Vec<Region> = first.bindings.iter().zip(&second.bindings).map(whole).collect();
    let (read, written) = regions.split_at(first.bindings.iter().filter(|b| !b.written).count());
    let numbers = first.params.get(3..).unwrap_or_default();
    cx.dispatch_each(&first.kernel, read, written, len.div_ceil(4), numbers)?;
    Ok(cx.finish().0.into_iter().map(|dispatch| (*step, dispatch)).collect())
}
