//! Recorded edits, applied to a copy of a graph. Their order does not matter.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{Edit, FineTuneConfiguration, Layer};
use super::layers::add_layer;
use crate::error::{Error, Result};
use crate::graph::{Graph, Vertex, VertexId};

/// What the edits made of a graph.
#[derive(Debug, Clone)]
pub struct Edited {
    /// The new graph.
    pub graph: Graph,
    /// Settings, if a `FineTuneConfiguration` edit gave any.
    pub configuration: Option<FineTuneConfiguration>,
    /// Labels, if a `SetLabels` edit gave any.
    pub labels: Option<Vec<String>>,
    /// Parameters that were drawn anew, by name.
    pub reinitialized: Vec<String>,
}

/// Applies the edits to a copy of the graph; the graph itself stays as it is.
///
/// # Errors
/// `unknown-vertex`, `conflict` for edits that contradict each other or leave a vertex dangling, `shape`, `bad-option`.
pub fn apply(source: &Graph, edits: &[Edit]) -> Result<Edited> {
    let requested = Requested::collect(source, edits)?;
    let defaults = requested.configuration.clone().unwrap_or_default();
    let mut draft = Draft::new(source, &requested)?;
    draft.check_connections(source)?;
    let mut graph = draft.build(&defaults)?;
    let outputs = requested.outputs(source)?;
    let outputs = outputs.iter().map(|name| graph.require(name)).collect::<Result<Vec<_>>>()?;
    if outputs.is_empty() {
        return Err(Error::conflict("", "no output is left; name one with setOutputs"));
    }
    graph.set_outputs(outputs);
    let graph = sweep(source, &graph)?;
    let graph = freeze(graph, &requested.frozen)?;
    let is_new = |v: &Vertex| v.is_stored() && source.find(&v.name).is_none_or(|id| source.get(id).value != v.value);
    let reinitialized = graph.iter().filter(|(_, v)| is_new(v)).map(|(_, v)| v.name.clone()).collect();
    Ok(Edited { graph, configuration: requested.configuration, labels: requested.labels, reinitialized })
}

/// Freezes the named vertices and all their ancestors.
pub(super) fn freeze(mut graph: Graph, names: &BTreeSet<String>) -> Result<Graph> {
    let named = names.iter().map(|name| graph.require(name)).collect::<Result<Vec<_>>>()?;
    let frozen = graph.ancestors(&named);
    let ids: Vec<VertexId> = graph.iter().map(|(id, _)| id).filter(|id| frozen[id.index()]).collect();
    ids.into_iter().for_each(|id| graph.get_mut(id).frozen = true);
    Ok(graph)
}

/// The edits by kind, each checked against the source and the others of its kind.
#[derive(Debug, Default)]
struct Requested {
    configuration: Option<FineTuneConfiguration>,
    frozen: BTreeSet<String>,
    /// Removed vertices; `true`: their name is removed from readers and outputs too.
    removed: BTreeMap<String, bool>,
    added: Vec<(String, Layer, Vec<String>)>,
    new_outputs: Option<Vec<String>>,
    labels: Option<Vec<String>>,
}

impl Requested {
    fn collect(source: &Graph, edits: &[Edit]) -> Result<Self> {
        let mut all = Self::default();
        for edit in edits {
            all.take(source, edit)?;
        }
        for (index, (name, ..)) in all.added.iter().enumerate() {
            let twice = all.added[..index].iter().any(|(other, ..)| other == name);
            if twice || (source.find(name).is_some() && !all.removed.contains_key(name)) {
                return Err(Error::conflict(
                    name,
                    "a vertex of this name exists; remove it first or choose another name",
                ));
            }
        }
        Ok(all)
    }

    fn take(&mut self, source: &Graph, edit: &Edit) -> Result<()> {
        match edit {
            Edit::FineTuneConfiguration { configuration } => {
                if let Some(updater) = &configuration.updater {
                    updater.validate()?;
                }
                self.configuration = Some(configuration.clone());
            }
            Edit::SetFeatureExtractor { names } => self.frozen.extend(names.iter().cloned()),
            Edit::RemoveVertexKeepConnections { name } => self.remove(source, name, false)?,
            Edit::RemoveVertexAndConnections { name } => self.remove(source, name, true)?,
            Edit::AddLayer { name, layer, inputs } => self.added.push((name.clone(), layer.clone(), inputs.clone())),
            Edit::SetOutputs { names } => self.new_outputs = Some(names.clone()),
            Edit::SetLabels { labels } => self.labels = Some(labels.clone()),
        }
        Ok(())
    }

    fn remove(&mut self, source: &Graph, name: &str, connections: bool) -> Result<()> {
        source.require(name)?;
        match self.removed.insert(name.to_owned(), connections) {
            Some(before) if before != connections => {
                Err(Error::conflict(name, "it is removed both with and without its connections"))
            }
            _ => Ok(()),
        }
    }

    fn outputs(&self, source: &Graph) -> Result<Vec<String>> {
        if let Some(names) = &self.new_outputs {
            return Ok(names.clone());
        }
        let names = source.outputs().iter().map(|id| source.get(*id).name.clone());
        Ok(names.filter(|name| self.removed.get(name) != Some(&true)).collect())
    }
}

/// A graph as names, before it is built anew.
struct Draft {
    pending: Vec<Pending>,
    removed: BTreeSet<String>,
}

enum Content {
    Existing(Vertex),
    Layer(Layer),
}

struct Pending {
    name: String,
    content: Content,
    inputs: Vec<String>,
}

impl Draft {
    fn new(source: &Graph, requested: &Requested) -> Result<Self> {
        let is_removed = |v: &Vertex| requested.removed.contains_key(v.layer.as_ref().unwrap_or(&v.name));
        let disconnected = |name: &String| requested.removed.get(name) == Some(&true);
        let mut pending = Vec::new();
        for (_, vertex) in source.iter().filter(|(_, v)| !is_removed(v)) {
            let all: Vec<String> = vertex.inputs.iter().map(|i| source.get(*i).name.clone()).collect();
            let inputs: Vec<String> = all.iter().filter(|name| !disconnected(name)).cloned().collect();
            let lost_all = inputs.iter().all(|name| source.find(name).is_some_and(|id| source.get(id).is_stored()));
            if inputs.len() < all.len() && lost_all {
                return Err(Error::conflict(&vertex.name, format!("it lost its last input, '{}'", all[0])));
            }
            pending.push(Pending { name: vertex.name.clone(), content: Content::Existing(vertex.clone()), inputs });
        }
        for (name, layer, inputs) in &requested.added {
            let content = Content::Layer(layer.clone());
            pending.push(Pending { name: name.clone(), content, inputs: inputs.clone() });
        }
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

    /// Adds vertices as soon as all they read is there, in the order of the source.
    fn build(&mut self, defaults: &FineTuneConfiguration) -> Result<Graph> {
        let mut graph = Graph::new();
        while !self.pending.is_empty() {
            let waiting = std::mem::take(&mut self.pending);
            let before = waiting.len();
            for vertex in waiting {
                let inputs: Option<Vec<VertexId>> = vertex.inputs.iter().map(|name| graph.find(name)).collect();
                match (inputs, &vertex.content) {
                    (Some(inputs), Content::Existing(old)) => graph.add_like(old, old.op.clone(), &inputs).map(drop)?,
                    (Some(inputs), Content::Layer(layer)) => {
                        add_layer(&mut graph, &vertex.name, layer, &inputs, defaults).map(drop)?;
                    }
                    (None, _) => self.pending.push(vertex),
                }
            }
            if self.pending.len() == before {
                return Err(Error::conflict(
                    &self.pending[0].name,
                    "it reads its own result, directly or through others",
                ));
            }
        }
        Ok(graph)
    }
}

/// Leaves out stored values that nothing reads any more; anything else that lost its last reader is a mistake.
fn sweep(source: &Graph, graph: &Graph) -> Result<Graph> {
    let mut consumers: Vec<usize> = graph.consumers().iter().map(Vec::len).collect();
    graph.outputs().iter().for_each(|o| consumers[o.index()] += 1);
    let dangled_before = |name: &str| {
        source
            .find(name)
            .is_some_and(|id| !source.outputs().contains(&id) && source.iter().all(|(_, v)| !v.inputs.contains(&id)))
    };
    let unread = graph.iter().filter(|(id, v)| consumers[id.index()] == 0 && !v.is_stored());
    let mut kept = graph.outputs().to_vec();
    for (id, vertex) in unread {
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
    Ok(swept)
}
