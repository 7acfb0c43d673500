//! Slots by lifetime: a value's memory is free for others after its last reader.

use super::bands::Found;
use super::{is_alias, reads_elements};
use crate::error::{Error, Result};
use crate::graph::{Graph, Vertex};
use crate::ops::Op;

/// Slot of every value that has one, and the slots' sizes.
pub(super) struct Assignment {
    /// Elements of each slot.
    pub(super) slots: Vec<usize>,
    /// Slot of each vertex; `None` for constants.
    pub(super) slot_of: Vec<Option<usize>>,
}

/// Values that keep their slot for the whole run: inputs, trainable parameters, updater state, outputs.
fn persists(vertex: &Vertex) -> bool {
    matches!(vertex.op, Op::Input(_)) || vertex.is_trainable()
}

/// Gradients that updaters and penalties read: each keeps memory of its own, so that a GPU can update many parameters at once.
fn read_by_updates(graph: &Graph, root: &[usize]) -> Vec<bool> {
    let mut read = vec![false; graph.len()];
    for (_, vertex) in graph.iter() {
        let changed = match &vertex.op {
            Op::Penalize(_) => 1,
            op if op.updates() > 0 => op.updates(),
            _ => continue,
        };
        vertex.inputs.iter().skip(changed).for_each(|input| read[root[input.index()]] = true);
    }
    read
}

/// Assigns slots in the order of the graph; a free slot that fits best is taken before a new one is made. What runs in bands is
/// one reader and writer of all its values, and holds parts of those it hands on.
pub(super) fn assign(graph: &Graph, chains: &[Found]) -> Result<Assignment> {
    let root = roots(graph);
    let mut last_read = last_reads(graph, &root);
    let mut lens: Vec<usize> = graph.iter().map(|(_, vertex)| vertex.ty.shape.len()).collect();
    let mut ended_with: Vec<Vec<usize>> = vec![Vec::new(); graph.len()];
    for chain in chains {
        chain.vertices.iter().zip(&chain.buffers).for_each(|(id, len)| lens[id.index()] = *len);
        let Some(end) = chain.vertices.last().map(|id| id.index()) else { continue };
        for value in chain.vertices.iter().flat_map(|id| &graph.get(*id).inputs).map(|input| root[input.index()]) {
            if last_read[value].is_some_and(|last| last < end) {
                last_read[value] = Some(end);
                ended_with[end].push(value);
            }
        }
    }
    let own = read_by_updates(graph, &root);
    let mut slots: Vec<usize> = Vec::new();
    let mut slot_of: Vec<Option<usize>> = vec![None; graph.len()];
    let mut free: Vec<usize> = Vec::new();
    for (id, vertex) in graph.iter() {
        let index = id.index();
        if vertex.is_constant() {
            continue;
        }
        if root[index] != index {
            slot_of[index] = slot_of[root[index]];
            if slot_of[index].is_none() && !graph.get(vertex.inputs[0]).is_constant() {
                return Err(Error::internal("an alias of a value without memory"));
            }
        } else {
            let len = lens[index];
            slot_of[index] = Some(if persists(vertex) || own[index] {
                new_slot(&mut slots, len)
            } else {
                take(&mut slots, &mut free, len)
            });
        }
        // Whatever is read here for the last time makes room for the vertices after this one, never for this one itself.
        let mut released: Vec<usize> = vertex.inputs.iter().map(|i| root[i.index()]).chain([root[index]]).collect();
        released.append(&mut ended_with[index]);
        released.sort_unstable();
        released.dedup();
        for value in released.into_iter().filter(|v| last_read[*v] == Some(index) && !own[*v]) {
            free.extend(slot_of[value]);
        }
    }
    Ok(Assignment { slots, slot_of })
}

/// The vertex whose memory each value shares; itself for most.
fn roots(graph: &Graph) -> Vec<usize> {
    let mut root: Vec<usize> = Vec::with_capacity(graph.len());
    for (id, vertex) in graph.iter() {
        let shares = is_alias(&vertex.op) || vertex.op.updates() > 0;
        root.push(match vertex.inputs.first() {
            Some(input) if shares && !graph.get(*input).is_constant() => root[input.index()],
            _ => id.index(),
        });
    }
    root
}

/// Position of the last reader of each root; `None` where the value is kept to the end.
fn last_reads(graph: &Graph, root: &[usize]) -> Vec<Option<usize>> {
    let mut last: Vec<Option<usize>> = (0..graph.len()).map(Some).collect();
    for (id, vertex) in graph.iter() {
        for (index, input) in vertex.inputs.iter().enumerate() {
            if reads_elements(&vertex.op, index) {
                last[root[input.index()]] = Some(id.index());
            }
        }
        last[root[id.index()]] = last[root[id.index()]].max(Some(id.index()));
    }
    let kept = graph.iter().filter(|(_, v)| persists(v) || v.is_constant()).map(|(id, _)| id);
    for id in kept.chain(graph.outputs().iter().copied()) {
        last[root[id.index()]] = None;
    }
    last
}

fn new_slot(slots: &mut Vec<usize>, len: usize) -> usize {
    slots.push(len);
    slots.len() - 1
}

fn take(slots: &mut Vec<usize>, free: &mut Vec<usize>, len: usize) -> usize {
    let smallest_that_fits = (0..free.len()).filter(|&i| slots[free[i]] >= len).min_by_key(|&i| slots[free[i]]);
    let largest = (0..free.len()).max_by_key(|&i| slots[free[i]]);
    match smallest_that_fits.or(largest) {
        Some(i) => {
            let slot = free.swap_remove(i);
            slots[slot] = slots[slot].max(len);
            slot
        }
        None => new_slot(slots, len),
    }
}
