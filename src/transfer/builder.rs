//! Recorded edits, applied to a copy of a graph. Their order does not matter.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::config::{Edit, FineTuneConfiguration};
use super::fitting::fitted;
use super::freezing::{freeze, unfreeze};
use super::layer_config::Layer;
use super::layers::add_layer;
use super::requested::{Addition, Requested};
use super::settings::{LearningConfig, Settings};
use super::vertices::add_vertex;
use crate::error::{Error, Result};
use crate::graph::{Graph, Vertex, VertexId};
use crate::ops::{Input, Op};

/// What the edits made of a graph.
#[derive(Debug, Clone)]
pub struct Edited {
    /// The new graph.
    pub graph: Graph,
    /// Learning settings of its layers.
    pub settings: Settings,
    /// Settings, if a `FineTuneConfiguration` edit gave any.
    pub configuration: Option<FineTuneConfiguration>,
    /// Labels, if a `SetLabels` edit gave any.
    pub labels: Option<Vec<String>>,
    /// Parameters that were drawn anew, by name.
    pub reinitialized: Vec<String>,
}

/// Applies the edits to a copy of the graph; the graph itself stays as it is. `settings` are those of its layers, `seed` is
/// that of new weights where no edit gives one.
///
/// # Errors
/// `unknown-vertex`, `conflict` for edits that contradict each other or leave a vertex dangling, `shape`, `bad-option`.
pub fn apply(source: &Graph, settings: &Settings, seed: Option<u64>, edits: &[Edit]) -> Result<Edited> {
    let requested = Requested::collect(source, edits)?;
    let configuration = requested.configuration.clone().unwrap_or_default();
    let defaults = Defaults {
        seed: configuration.seed.or(seed).unwrap_or_default(),
        learning: &configuration.learning,
        original: settings,
    };
    let mut draft = Draft::new(source, &requested)?;
    draft.check_connections(source)?;
    for changed in fitted(&draft.pending, source, &requested, &defaults)? {
        draft.replace(changed);
    }
    let mut graph = draft.build(&defaults)?;
    let outputs = requested.outputs(source);
    let outputs = outputs.iter().map(|name| graph.require(name)).collect::<Result<Vec<_>>>()?;
    if outputs.is_empty() {
        return Err(Error::conflict("", "no output is left; name one with setOutputs"));
    }
    graph.set_outputs(outputs);
    let mut graph = sweep(source, &graph, &requested)?;
    if let Some(names) = &requested.unfrozen {
        graph = unfreeze(graph, names, &requested.frozen)?;
    }
    let graph = freeze(graph, &requested.frozen)?;
    Ok(Edited {
        settings: settle(&graph, &requested, &defaults),
        reinitialized: new_values(source, &graph),
        graph,
        configuration: requested.configuration,
        labels: requested.labels,
    })
}

/// Parameters and constants of `graph` that `source` does not have.
pub(super) fn new_values(source: &Graph, graph: &Graph) -> Vec<String> {
    let is_old = |v: &Vertex| match (source.find(&v.name).and_then(|id| source.get(id).value.as_ref()), &v.value) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        _ => false,
    };
    graph.iter().filter(|(_, v)| v.is_stored() && !is_old(v)).map(|(_, v)| v.name.clone()).collect()
}

/// What layers get that say nothing themselves.
pub(super) struct Defaults<'a> {
    pub(super) seed: u64,
    /// Of the configuration.
    pub(super) learning: &'a LearningConfig,
    /// Of the layers of the source, by name.
    pub(super) original: &'a Settings,
}

impl Defaults<'_> {
    /// Settings of an existing layer that is not frozen.
    pub(super) fn of_existing(&self, layer: &str) -> LearningConfig {
        self.original.get(layer).map_or_else(|| self.learning.clone(), |original| self.learning.over(original))
    }

    fn completed(&self, layer: &Layer) -> Layer {
        Layer { learning: layer.learning.over(self.learning), ..layer.clone() }
    }
}

/// Settings of the layers of the result: of new layers their own over the configuration's, of existing ones the
/// configuration's over the original, of frozen ones the original.
fn settle(graph: &Graph, requested: &Requested, defaults: &Defaults<'_>) -> Settings {
    let mut all = Settings::new();
    for (_, vertex) in graph.iter().filter(|(id, _)| graph.has_parameters(*id)) {
        let layer = vertex.layer.as_ref().unwrap_or(&vertex.name);
        let original = defaults.original.get(layer).cloned().unwrap_or_default();
        let settings = match requested.added.get(layer) {
            Some((Addition::Layer(layer), _)) => defaults.completed(layer).learning,
            _ if vertex.frozen => original,
            _ => defaults.of_existing(layer),
        };
        let settings = settings.settled();
        if !settings.is_empty() {
            all.insert(layer.clone(), settings);
        }
    }
    all
}

/// A graph as names, before it is built anew.
struct Draft {
    pending: Vec<Pending>,
    removed: BTreeSet<String>,
}

/// What a vertex of the draft is.
pub(super) enum Content {
    Existing(Box<Vertex>),
    New(Box<Addition>),
}

/// A vertex of the draft.
pub(super) struct Pending {
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) inputs: Vec<String>,
}

impl Pending {
    pub(super) fn is_stored(&self) -> bool {
        matches!(&self.content, Content::Existing(vertex) if vertex.is_stored())
    }
}

impl Draft {
    fn new(source: &Graph, requested: &Requested) -> Result<Self> {
        let is_removed = |v: &Vertex| requested.removed.contains_key(v.layer.as_ref().unwrap_or(&v.name));
        let disconnected = |name: &String| requested.removed.get(name) == Some(&true);
        let is_input = |name: &String| requested.inputs.as_ref().is_some_and(|names| names.contains(name));
        let mut pending = Vec::new();
        for (_, vertex) in source.iter().filter(|(_, v)| !is_removed(v)) {
            if is_input(&vertex.name) {
                continue;
            }
            let all: Vec<String> = vertex.inputs.iter().map(|i| source.get(*i).name.clone()).collect();
            let inputs: Vec<String> = all.iter().filter(|name| !disconnected(name)).cloned().collect();
            let lost_all = inputs.iter().all(|name| source.find(name).is_some_and(|id| source.get(id).is_stored()));
            if inputs.len() < all.len() && lost_all {
                return Err(Error::conflict(&vertex.name, format!("it lost its last input, '{}'", all[0])));
            }
            let content = Content::Existing(Box::new(vertex.clone()));
            pending.push(Pending { name: vertex.name.clone(), content, inputs });
        }
        let inputs = requested.inputs.iter().flatten().map(|name| as_input(source, name));
        let inputs: Vec<Pending> = inputs.collect::<Result<_>>()?;
        pending.splice(..0, inputs);
        for (name, (addition, inputs)) in &requested.added {
            let content = Content::New(Box::new(addition.clone()));
            pending.push(Pending { name: name.clone(), content, inputs: inputs.clone() });
        }
        // Values that only removed vertices read leave with them, so that their names are free.
        let read: BTreeSet<String> = pending.iter().flat_map(|p| p.inputs.iter().cloned()).collect();
        pending.retain(|p| !p.is_stored() || read.contains(&p.name));
        Ok(Self { pending, removed: requested.removed.keys().cloned().collect() })
    }

    /// Every name that is read exists.
    fn check_connections(&self, source: &Graph) -> Result<()> {
        let names: BTreeSet<&str> = self.pending.iter().map(|p| p.name.as_str()).collect();
        for vertex in &self.pending {
            for input in vertex.inputs.iter().filter(|i| !names.contains(i.as_str())) {
                if self.removed.contains(input) {
                    let reason = format!("it reads '{input}', which is removed; add a vertex of that name");
                    return Err(Error::conflict(&vertex.name, reason));
                }
                source.require(input)?;
            }
        }
        Ok(())
    }

    fn replace(&mut self, changed: Vertex) {
        if let Some(old) = self.pending.iter_mut().find(|p| p.name == changed.name) {
            old.content = Content::Existing(Box::new(changed));
        }
    }

    fn build(&self, defaults: &Defaults<'_>) -> Result<Graph> {
        let mut graph = Graph::new();
        in_order(&self.pending, |vertex| {
            let inputs: Option<Vec<VertexId>> = vertex.inputs.iter().map(|name| graph.find(name)).collect();
            let Some(inputs) = inputs else { return Ok(false) };
            match &vertex.content {
                Content::Existing(old) => graph.add_like(old, old.op.clone(), &inputs)?,
                Content::New(addition) => add(&mut graph, &vertex.name, addition, &inputs, defaults)?,
            };
            Ok(true)
        })?;
        Ok(graph)
    }
}

/// Appends what an edit adds.
pub(super) fn add(
    graph: &mut Graph,
    name: &str,
    addition: &Addition,
    inputs: &[VertexId],
    defaults: &Defaults<'_>,
) -> Result<VertexId> {
    match addition {
        Addition::Layer(layer) => add_layer(graph, name, &defaults.completed(layer), inputs, defaults.seed),
        Addition::Vertex(kind) => add_vertex(graph, name, kind, inputs),
    }
}

/// Places all vertices, again and again in the order of the source until nothing waits. `place` tells whether all that a
/// vertex reads was there.
///
/// # Errors
/// Those of `place`; `conflict` for a cycle.
pub(super) fn in_order<'a>(pending: &'a [Pending], mut place: impl FnMut(&'a Pending) -> Result<bool>) -> Result<()> {
    let mut waiting: Vec<&Pending> = pending.iter().collect();
    while let Some(first) = waiting.first() {
        let (name, before) = (first.name.as_str(), waiting.len());
        let mut left = Vec::new();
        for vertex in waiting {
            if !place(vertex)? {
                left.push(vertex);
            }
        }
        if left.len() == before {
            return Err(Error::conflict(name, "it reads its own result, directly or through others"));
        }
        waiting = left;
    }
    Ok(())
}

/// A vertex of the source as an input of its type.
fn as_input(source: &Graph, name: &str) -> Result<Pending> {
    let mut vertex = source.get(source.require(name)?).clone();
    if !matches!(vertex.op, Op::Input(_)) {
        vertex.op = Input { ty: vertex.ty.clone(), batched: true }.into();
    }
    (vertex.inputs, vertex.loss, vertex.frozen) = (Vec::new(), None, false);
    Ok(Pending { name: name.to_owned(), content: Content::Existing(Box::new(vertex)), inputs: Vec::new() })
}

/// Leaves out what `setInputs` made needless; anything else that lost its last reader is a mistake.
fn sweep(source: &Graph, graph: &Graph, requested: &Requested) -> Result<Graph> {
    let mut readers: HashMap<VertexId, usize> = HashMap::new();
    for (_, vertex) in graph.iter() {
        vertex.inputs.iter().for_each(|i| *readers.entry(*i).or_default() += 1);
    }
    graph.outputs().iter().for_each(|o| *readers.entry(*o).or_default() += 1);
    let released = released(source, requested)?;
    let dangled_before = |name: &str| {
        source
            .find(name)
            .is_some_and(|id| !source.outputs().contains(&id) && source.iter().all(|(_, v)| !v.inputs.contains(&id)))
    };
    let mut kept = graph.outputs().to_vec();
    for (id, vertex) in graph.iter().filter(|(id, v)| !readers.contains_key(id) && !v.is_stored()) {
        if released.contains(&vertex.name) {
            continue;
        }
        if !dangled_before(&vertex.name) {
            let reason = "nothing reads it and it is no output; remove it or name it in setOutputs";
            return Err(Error::conflict(&vertex.name, reason));
        }
        kept.push(id);
    }
    let outputs: Vec<String> = graph.outputs().iter().map(|id| graph.get(*id).name.clone()).collect();
    let mut swept = graph.extract(&kept)?;
    let outputs = outputs.iter().map(|name| swept.require(name)).collect::<Result<_>>()?;
    swept.set_outputs(outputs);
    if let Some(names) = &requested.inputs
        && let Some(other) = swept.inputs().iter().map(|id| &swept.get(*id).name).find(|name| !names.contains(name))
    {
        return Err(Error::conflict(other, "setInputs leaves it out, but it is still read"));
    }
    if swept.inputs().is_empty() {
        return Err(Error::conflict("", "no input is left that the outputs depend on"));
    }
    Ok(swept)
}

/// What `setInputs` allows to go: what lies above the new inputs, and the inputs it does not name.
fn released(source: &Graph, requested: &Requested) -> Result<BTreeSet<String>> {
    let Some(names) = &requested.inputs else { return Ok(BTreeSet::new()) };
    let named = names.iter().map(|name| source.require(name)).collect::<Result<Vec<_>>>()?;
    let above = source.ancestors(&named);
    let goes = |(id, v): &(VertexId, &Vertex)| above[id.index()] || matches!(v.op, Op::Input(_));
    let all = source.iter().filter(goes).map(|(_, v)| v.name.clone());
    Ok(all.filter(|name| !names.contains(name)).collect())
}
