//! Which vertices training leaves alone.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::graph::{Graph, VertexId};

/// Freezes the named vertices and all their ancestors.
///
/// # Errors
/// `unknown-vertex`.
pub(super) fn freeze(mut graph: Graph, names: &BTreeSet<String>) -> Result<Graph> {
    let named = names.iter().map(|name| graph.require(name)).collect::<Result<Vec<_>>>()?;
    let frozen = graph.ancestors(&named);
    set(&mut graph, &frozen, true);
    Ok(graph)
}

/// Makes the named vertices and all that depend on them trainable, with their parameters; everything where none is named.
/// A parameter that a frozen vertex reads too stays frozen.
///
/// # Errors
/// `unknown-vertex`; `conflict` where a named vertex is to be frozen as well.
pub(super) fn unfreeze(mut graph: Graph, names: &BTreeSet<String>, frozen: &BTreeSet<String>) -> Result<Graph> {
    if names.is_empty() {
        let all = vec![true; graph.len()];
        set(&mut graph, &all, false);
        return Ok(graph);
    }
    let named = names.iter().map(|name| graph.require(name)).collect::<Result<BTreeSet<_>>>()?;
    let extractor = frozen.iter().map(|name| graph.require(name)).collect::<Result<Vec<_>>>()?;
    let extractor = graph.ancestors(&extractor);
    if let Some(both) = named.iter().find(|id| extractor[id.index()]) {
        let reason = "it is to be trained, but it lies in the feature extractor";
        return Err(Error::conflict(&graph.get(*both).name, reason));
    }
    let is_named = |id: VertexId| {
        let layer = graph.get(id).layer.as_ref().and_then(|layer| graph.find(layer));
        named.contains(&layer.unwrap_or(id))
    };
    let mut thawed = graph.descendants(graph.iter().map(|(id, _)| is_named(id)).collect());
    for (id, readers) in graph.consumers().iter().enumerate() {
        let mut readers = readers.iter().peekable();
        let is_stored = graph.iter().nth(id).is_some_and(|(_, v)| v.is_stored());
        if is_stored && readers.peek().is_some() {
            thawed[id] = readers.all(|reader| thawed[reader.index()] || !graph.get(*reader).frozen);
        }
    }
    set(&mut graph, &thawed, false);
    Ok(graph)
}

fn set(graph: &mut Graph, of: &[bool], frozen: bool) {
    let ids: Vec<VertexId> = graph.iter().map(|(id, _)| id).filter(|id| of[id.index()]).collect();
    ids.into_iter().for_each(|id| graph.get_mut(id).frozen = frozen);
}
