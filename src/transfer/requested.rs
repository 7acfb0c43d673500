//! The edits by kind, each checked against the source and the others of its kind.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{Edit, FineTuneConfiguration};
use super::init::WeightInit;
use super::layer_config::{Layer, VertexKind};
use super::layers::check_own_settings;
use crate::error::{Error, Result};
use crate::graph::Graph;

/// Another number of results for a layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NOut {
    pub(super) n_out: usize,
    pub(super) init: Option<WeightInit>,
    pub(super) next_init: Option<WeightInit>,
}

/// A number of features that a layer is said to take.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NIn {
    pub(super) n_in: usize,
    pub(super) init: Option<WeightInit>,
}

/// Something to add.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Addition {
    Layer(Box<Layer>),
    Vertex(VertexKind),
}

/// What all edits ask for. Their order has no say.
#[derive(Debug, Default)]
pub(super) struct Requested {
    pub(super) configuration: Option<FineTuneConfiguration>,
    pub(super) frozen: BTreeSet<String>,
    /// `Some(empty)`: everything.
    pub(super) unfrozen: Option<BTreeSet<String>>,
    /// Removed vertices; `true`: their name is removed from readers and outputs too.
    pub(super) removed: BTreeMap<String, bool>,
    pub(super) added: BTreeMap<String, (Addition, Vec<String>)>,
    pub(super) n_out: BTreeMap<String, NOut>,
    pub(super) n_in: BTreeMap<String, NIn>,
    pub(super) inputs: Option<Vec<String>>,
    new_outputs: Option<Vec<String>>,
    pub(super) labels: Option<Vec<String>>,
}

impl Requested {
    pub(super) fn collect(source: &Graph, edits: &[Edit]) -> Result<Self> {
        let mut all = Self::default();
        for edit in edits {
            all.take(source, edit)?;
        }
        all.check(source)?;
        Ok(all)
    }

    fn take(&mut self, source: &Graph, edit: &Edit) -> Result<()> {
        match edit {
            Edit::FineTuneConfiguration { configuration } => {
                configuration.learning.validate()?;
                once(&mut self.configuration, configuration, "fineTuneConfiguration")
            }
            Edit::SetFeatureExtractor { names } => {
                some_name(names, "setFeatureExtractor")?;
                self.frozen.extend(names.iter().cloned());
                Ok(())
            }
            Edit::Unfreeze { names } => self.unfreeze(names),
            Edit::RemoveVertexKeepConnections { name } => self.remove(source, name, false),
            Edit::RemoveVertexAndConnections { name } => self.remove(source, name, true),
            Edit::AddLayer { name, layer, inputs } => {
                layer.learning.validate()?;
                check_own_settings(name, layer)?;
                self.add(name, Addition::Layer(Box::new(layer.clone())), inputs)
            }
            Edit::AddVertex { name, vertex, inputs } => self.add(name, Addition::Vertex(vertex.clone()), inputs),
            Edit::NOutReplace { name, n_out, init, next_init } => {
                init.iter().chain(next_init).try_for_each(WeightInit::validate)?;
                let edit = NOut { n_out: at_least_one(*n_out, "nOut")?, init: *init, next_init: *next_init };
                same(&mut self.n_out, name, edit, "nOutReplace")
            }
            Edit::NInReplace { name, n_in, init } => {
                init.iter().try_for_each(WeightInit::validate)?;
                let edit = NIn { n_in: at_least_one(*n_in, "nIn")?, init: *init };
                same(&mut self.n_in, name, edit, "nInReplace")
            }
            Edit::SetInputs { names } => {
                some_name(names, "setInputs")?;
                distinct(names, "setInputs")?;
                once(&mut self.inputs, names, "setInputs")
            }
            Edit::SetOutputs { names } => {
                some_name(names, "setOutputs")?;
                distinct(names, "setOutputs")?;
                once(&mut self.new_outputs, names, "setOutputs")
            }
            Edit::SetLabels { labels } => once(&mut self.labels, labels, "setLabels"),
        }
    }

    fn unfreeze(&mut self, names: &[String]) -> Result<()> {
        match &mut self.unfrozen {
            // Everything and a part of it: everything.
            Some(all) if all.is_empty() || names.is_empty() => all.clear(),
            Some(some) => some.extend(names.iter().cloned()),
            None => self.unfrozen = Some(names.iter().cloned().collect()),
        }
        Ok(())
    }

    fn remove(&mut self, source: &Graph, name: &str, connections: bool) -> Result<()> {
        visible(source, name)?;
        match self.removed.insert(name.to_owned(), connections) {
            Some(before) if before != connections => {
                Err(Error::conflict(name, "it is removed both with and without its connections"))
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, name: &str, addition: Addition, inputs: &[String]) -> Result<()> {
        if name.is_empty() {
            return Err(Error::option("name", "a vertex needs a name"));
        }
        if inputs.is_empty() {
            return Err(Error::conflict(name, "it needs an input; name the vertices it reads"));
        }
        if self.added.insert(name.to_owned(), (addition, inputs.to_vec())).is_some() {
            return Err(Error::conflict(name, "two vertices of this name are added"));
        }
        Ok(())
    }

    /// What one edit says against what the others say.
    fn check(&self, source: &Graph) -> Result<()> {
        for name in self.added.keys() {
            if source.find(name).is_some() && !self.removed.contains_key(name) {
                return Err(Error::conflict(
                    name,
                    "a vertex of this name exists; remove it first or choose another name",
                ));
            }
        }
        for name in self.n_out.keys().chain(self.n_in.keys()) {
            if self.added.contains_key(name) {
                return Err(Error::conflict(name, "it is added here; give the layer itself its nOut and nIn"));
            }
            self.check_kept(source, name, "its size is replaced")?;
        }
        for name in self.frozen.iter().chain(self.unfrozen.iter().flatten()).chain(self.new_outputs.iter().flatten()) {
            if !self.added.contains_key(name) {
                self.check_kept(source, name, "it is named by another edit")?;
            }
        }
        for name in self.inputs.iter().flatten() {
            self.check_kept(source, name, "it is named as an input")?;
        }
        Ok(())
    }

    fn check_kept(&self, source: &Graph, name: &str, why: &str) -> Result<()> {
        if self.removed.contains_key(name) {
            return Err(Error::conflict(name, format!("{why}, but it is removed")));
        }
        visible(source, name)
    }

    pub(super) fn outputs(&self, source: &Graph) -> Vec<String> {
        if let Some(names) = &self.new_outputs {
            return names.clone();
        }
        let names = source.outputs().iter().map(|id| source.get(*id).name.clone());
        names.filter(|name| self.removed.get(name) != Some(&true)).collect()
    }
}

/// Stored values and inner parts come and go with their layer.
fn visible(source: &Graph, name: &str) -> Result<()> {
    let vertex = source.get(source.require(name)?);
    match &vertex.layer {
        Some(layer) => Err(Error::conflict(name, format!("it is a part of '{layer}'; name that"))),
        None if vertex.is_stored() => Err(Error::conflict(name, "it is a parameter; name the layer it belongs to")),
        None => Ok(()),
    }
}

fn once<T: Clone + PartialEq>(slot: &mut Option<T>, value: &T, edit: &'static str) -> Result<()> {
    match slot {
        Some(before) if before != value => Err(Error::conflict("", format!("{edit} is called twice and differs"))),
        _ => {
            *slot = Some(value.clone());
            Ok(())
        }
    }
}

fn same<T: PartialEq>(all: &mut BTreeMap<String, T>, name: &str, edit: T, call: &str) -> Result<()> {
    match all.get(name) {
        Some(before) if *before != edit => Err(Error::conflict(name, format!("{call} is called twice and differs"))),
        _ => {
            all.insert(name.to_owned(), edit);
            Ok(())
        }
    }
}

fn at_least_one(n: usize, option: &'static str) -> Result<usize> {
    if n == 0 { Err(Error::option(option, "at least 1")) } else { Ok(n) }
}

fn some_name(names: &[String], edit: &'static str) -> Result<()> {
    if names.is_empty() { Err(Error::option(edit, "name at least one vertex")) } else { Ok(()) }
}

fn distinct(names: &[String], edit: &str) -> Result<()> {
    let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
    twice.map_or(Ok(()), |(_, name)| Err(Error::conflict(name, format!("{edit} names it twice"))))
}
