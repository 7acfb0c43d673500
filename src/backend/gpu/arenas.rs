//! Updates of many values by one dispatch: values that an updater treats alike lie one after the other in one buffer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::record::Recording;
use crate::error::Result;
use crate::kernels::wgsl::{Binding, Dispatch, Place, Region};
use crate::ops::{GpuContext, GpuLimits, Op};
use crate::plan::Plan;

/// Slots that share a buffer, each with its first element in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arena {
    /// In order.
    pub slots: Vec<(usize, usize)>,
    /// Elements of the buffer.
    pub len: usize,
}

impl Arena {
    /// Whether the slots of `part` lie here as they lie there.
    fn holds(&self, part: &Self) -> bool {
        let start = part.slots.first().and_then(|(slot, _)| self.slots.iter().find(|(own, _)| own == slot));
        let Some(&(_, start)) = start else { return false };
        let lies = |&(slot, first): &(usize, usize)| self.slots.contains(&(slot, start + first));
        let end = start + part.len;
        let ends_here = end == self.len || self.slots.iter().any(|(_, first)| *first == end);
        ends_here && part.slots.iter().all(lies)
    }
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
    let apart = apart(&recording);
    let all = &recording.dispatches;
    let mut runs: Vec<Range<usize>> = Vec::new();
    while let Some(at) = Some(runs.last().map_or(0, |run| run.end)).filter(|at| *at < all.len()) {
        let follow = all[at..].iter().take_while(|(step, d)| is_update(plan, *step) && alike(&all[at].1, d)).count();
        runs.push(at..at + longest(&all[at..at + follow.max(1)], &apart, plan, limits));
    }
    // The longest first: what they lay out is a part of what shorter ones want, if anything is.
    let mut by_length: Vec<usize> = (0..runs.len()).filter(|index| runs[*index].len() > 1).collect();
    by_length.sort_by_key(|index| Reverse(runs[*index].len()));
    let mut lens = vec![None; runs.len()];
    for index in by_length {
        lens[index] = layout.place(&all[runs[index].clone()], plan, limits);
    }
    let mut dispatches = Vec::with_capacity(all.len());
    for (run, len) in runs.into_iter().zip(lens) {
        match len {
            Some(len) => dispatches.extend(join(&all[run], len, plan, limits)?),
            None => dispatches.extend_from_slice(&all[run]),
        }
    }
    Ok(Recording { dispatches, arenas: layout.arenas, ..recording })
}

/// Pairs of slots of which a dispatch writes the first: a buffer cannot be both read and written, so that they lie apart.
fn apart(recording: &Recording) -> BTreeSet<[usize; 2]> {
    let slot = |binding: &Binding| match binding.region.place {
        Place::Slot(slot) => Some(slot),
        _ => None,
    };
    let mut apart = BTreeSet::new();
    for (_, dispatch) in &recording.dispatches {
        for written in dispatch.bindings.iter().filter(|b| b.written).filter_map(slot) {
            let others = dispatch.bindings.iter().filter_map(slot).filter(|other| *other != written);
            apart.extend(others.flat_map(|other| [[written, other], [other, written]]));
        }
    }
    apart
}

/// Whether the step updates, or makes the gradient of an update; what it works on has memory of its own.
fn is_update(plan: &Plan, step: usize) -> bool {
    plan.steps.get(step).is_some_and(|step| step.op.updates() > 0 || matches!(step.op, Op::Penalize(_)))
}

/// Whether both do the same to other values.
fn alike(a: &Dispatch, b: &Dispatch) -> bool {
    let kinds = |d: &Dispatch| d.bindings.iter().map(|b| b.written).collect::<Vec<_>>();
    a.by_element && b.by_element && a.kernel == b.kernel && numbers(a) == numbers(b) && kinds(a) == kinds(b)
}

/// Words of `Params` behind those of [`GpuContext::dispatch_each`]: first workgroup, width and count.
fn numbers(dispatch: &Dispatch) -> &[u32] {
    dispatch.params.get(3..).unwrap_or_default()
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

/// How many of the first of a run fit a buffer and a binding, and may share buffers.
fn longest(run: &[(usize, Dispatch)], apart: &BTreeSet<[usize; 2]>, plan: &Plan, limits: GpuLimits) -> usize {
    let most = limits.binding_bytes.min(limits.buffer_bytes) as usize / 4;
    let mut total = 0;
    let clash = |a: &Dispatch, b: &Dispatch| {
        let mut pairs =
            a.bindings.iter().zip(&b.bindings).filter_map(|(x, y)| Some([own_slot(a, x)?, own_slot(b, y)?]));
        pairs.any(|pair| apart.contains(&pair))
    };
    let fits = |(index, (_, dispatch)): &(usize, &(usize, Dispatch))| {
        total += extent(dispatch, plan, limits);
        total <= most && !run[..*index].iter().any(|(_, before)| clash(before, dispatch))
    };
    run.iter().enumerate().take_while(fits).count().max(1)
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
        if self.arenas.iter().any(|arena| arena.holds(&wanted)) {
            return Some(());
        }
        for &slot in slots {
            // A slot that is there already is in another order, or twice in the run.
            self.of_slot.insert(slot, self.arenas.len()).is_none().then_some(())?;
        }
        self.arenas.push(wanted);
        Some(())
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
    cx.dispatch_each(&first.kernel, read, written, len.div_ceil(4), numbers(first))?;
    Ok(cx.finish().0.into_iter().map(|dispatch| (*step, dispatch)).collect())
}
