//! A model: a graph with what belongs to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::builder::{apply, new_values};
use super::classifier::{ClassifierOptions, classifier};
use super::config::{Edit, FineTuneConfiguration};
use super::freezing::freeze;
use super::runner::Runner;
use super::settings::Settings;
use crate::backend::Device;
use crate::data::{FeatureSet, Preprocessing};
use crate::error::{Error, Result};
use crate::graph::{Graph, Split};
use crate::tensor::{Hash, Tensor, hex};
use crate::train::{Checkpoint, FitOptions, Parameters, Trainer};

/// A network with its labels, preprocessing and learning configuration.
#[derive(Debug, Clone)]
pub struct Model {
    /// The network, as its source names and lays it out.
    pub graph: Graph,
    /// Names of the classes, in the order of the first output's columns.
    pub labels: Option<Vec<String>>,
    /// How an image becomes the network's input.
    pub preprocessing: Preprocessing,
    /// The last settings for all layers; what each layer made of them is in `settings`.
    pub configuration: FineTuneConfiguration,
    /// Learning settings of the layers.
    pub settings: Settings,
    /// Parameters that the edits which made this model drew anew.
    pub reinitialized: Vec<String>,
    /// Where the network came from, copied into exports.
    pub provenance: BTreeMap<String, String>,
}

/// Type of an input or output as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// Name of the vertex.
    pub name: String,
    /// Shape in the source's layout; `None` for the batch.
    pub shape: Vec<Option<usize>>,
    /// Element type, always `f32` at present.
    pub dtype: String,
}

impl Model {
    /// A network without labels, with default preprocessing.
    pub fn new(graph: Graph) -> Self {
        Self {
            graph,
            labels: None,
            preprocessing: Preprocessing::default(),
            configuration: FineTuneConfiguration::default(),
            settings: Settings::new(),
            reinitialized: Vec::new(),
            provenance: BTreeMap::new(),
        }
    }

    /// A copy with the edits applied; this model stays as it is.
    ///
    /// # Errors
    /// As [`apply`]; `bad-option` where labels do not fit the first output.
    pub fn edited(&self, edits: &[Edit]) -> Result<Self> {
        let edited = apply(&self.graph, &self.settings, self.configuration.seed, edits)?;
        let width = classes(&edited.graph);
        let labels = match edited.labels {
            Some(labels) => Some(labels),
            None => self.labels.clone().filter(|labels| width == Some(labels.len())),
        };
        let mut model = Self {
            graph: edited.graph,
            labels: None,
            configuration: edited
                .configuration
                .map_or_else(|| self.configuration.clone(), |new| new.over(&self.configuration)),
            settings: edited.settings,
            reinitialized: edited.reinitialized,
            preprocessing: self.preprocessing.clone(),
            provenance: self.provenance.clone(),
        };
        model.set_labels(labels)?;
        Ok(model)
    }

    /// A copy that is frozen up to a feature and has a new softmax head for the labels.
    pub fn classifier(&self, options: &ClassifierOptions) -> Result<Self> {
        let seed = options.seed.or(self.configuration.seed);
        let options = ClassifierOptions { seed, ..options.clone() };
        let (graph, settings) = classifier(&self.graph, &self.configuration.learning, &options)?;
        let reinitialized = new_values(&self.graph, &graph);
        Ok(Self {
            graph,
            labels: Some(options.labels),
            settings,
            configuration: FineTuneConfiguration { seed, ..self.configuration.clone() },
            reinitialized,
            preprocessing: self.preprocessing.clone(),
            provenance: self.provenance.clone(),
        })
    }

    /// Sets the labels; they are as many as the first output has columns.
    pub(crate) fn set_labels(&mut self, labels: Option<Vec<String>>) -> Result<()> {
        if let (Some(labels), Some(width)) = (&labels, classes(&self.graph))
            && labels.len() != width
        {
            let reason = format!("{} labels were given, the output has {width} columns", labels.len());
            return Err(Error::option("labels", reason));
        }
        self.labels = labels;
        Ok(())
    }

    /// Cut at the given vertices, or at the model's own frozen set; where nothing is frozen, at its inputs.
    pub fn split(&self, at: Option<&[String]>) -> Result<Split> {
        match at {
            Some(names) => freeze(self.graph.clone(), &names.iter().cloned().collect())?.split(),
            None => self.graph.split(),
        }
    }

    /// [`Model::trainer_on`] the CPU.
    pub fn trainer(
        &self,
        at: Option<&[String]>,
        train: Arc<FeatureSet>,
        validation: Option<Arc<FeatureSet>>,
        options: FitOptions,
    ) -> Result<Trainer> {
        self.trainer_on(&Device::Cpu, at, train, validation, options)
    }

    /// Training of the part that `split(at)` leaves trainable, on features that the rest made. Where the options give no seed,
    /// the model's configuration does.
    ///
    /// # Errors
    /// As [`Trainer::on`]; `stale-features` where another trunk made the features.
    pub fn trainer_on(
        &self,
        device: &Device,
        at: Option<&[String]>,
        train: Arc<FeatureSet>,
        validation: Option<Arc<FeatureSet>>,
        mut options: FitOptions,
    ) -> Result<Trainer> {
        let tail = self.checked_tail(at, &train, validation.as_deref())?;
        options.seed = options.seed.or(self.configuration.seed);
        Trainer::on(device, &tail, &self.settings, train, validation, options, None)
    }

    /// [`Model::resumed_trainer_on`] the CPU.
    pub fn resumed_trainer(
        &self,
        at: Option<&[String]>,
        train: Arc<FeatureSet>,
        validation: Option<Arc<FeatureSet>>,
        checkpoint: Checkpoint,
    ) -> Result<Trainer> {
        self.resumed_trainer_on(&Device::Cpu, at, train, validation, checkpoint)
    }

    /// Continues a run of [`Model::trainer_on`], on any device, from its checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::resumed`].
    pub fn resumed_trainer_on(
        &self,
        device: &Device,
        at: Option<&[String]>,
        train: Arc<FeatureSet>,
        validation: Option<Arc<FeatureSet>>,
        checkpoint: Checkpoint,
    ) -> Result<Trainer> {
        let tail = self.checked_tail(at, &train, validation.as_deref())?;
        Trainer::resumed(device, &tail, &self.settings, train, validation, checkpoint, None)
    }

    fn checked_tail(&self, at: Option<&[String]>, train: &FeatureSet, other: Option<&FeatureSet>) -> Result<Graph> {
        let split = self.split(at)?;
        let key = self.trunk_key(&split)?;
        for set in [Some(train), other].into_iter().flatten() {
            set.check_trunk(&key)?;
            // As many columns under other names would be trained without a word, and predicted under the wrong ones.
            if let Some(labels) = &self.labels
                && labels.len() == set.labels().len()
                && *labels != set.labels()
            {
                let (data, model) = (set.labels().join(", "), labels.join(", "));
                let reason =
                    format!("the data have {data}; the model has {model}. Name the model's when the data set is made");
                return Err(Error::option("labels", reason));
            }
        }
        Ok(split.tail)
    }

    /// Takes over trained parameters.
    pub fn update(&mut self, parameters: Parameters) -> Result<()> {
        for (name, value) in parameters {
            let id = self.graph.require(&name)?;
            let vertex = self.graph.get_mut(id);
            if vertex.frozen || vertex.ty != value.ty() {
                return Err(Error::conflict(name, "a trained parameter does not fit the model any more"));
            }
            vertex.value = Some(Arc::new(value));
        }
        Ok(())
    }

    /// Runs the network on tensors in the source's layout. `outputs` may name any vertex; default: the model's outputs. Plans anew
    /// each time; [`Runner`] does not.
    pub fn run(&self, inputs: &[(String, Tensor)], outputs: Option<&[String]>) -> Result<Vec<(String, Tensor)>> {
        Runner::new(self, inputs, outputs)?.run(inputs)
    }

    /// Every input is there with a shape that fits, and no other; returns the batch.
    pub(super) fn check_inputs(&self, inputs: &[(String, Tensor)]) -> Result<usize> {
        let known = |name: &str| self.graph.inputs().iter().any(|id| self.graph.get(*id).name == name);
        if let Some((name, _)) = inputs.iter().find(|(name, _)| !known(name)) {
            return Err(Error::option("inputs", format!("the model has no input '{name}'")));
        }
        let mut batch = 1;
        for id in self.graph.inputs() {
            let vertex = self.graph.get(*id);
            let (_, given) = inputs
                .iter()
                .find(|(name, _)| *name == vertex.name)
                .ok_or_else(|| Error::option("inputs", format!("'{}' is missing", vertex.name)))?;
            let (shape, expected) = (given.shape(), &vertex.ty.shape);
            if shape.rank() != expected.rank() || shape.is_empty() || shape[1..] != expected[1..] || shape[0] == 0 {
                return Err(Error::Shape {
                    vertex: vertex.name.clone(),
                    op: vertex.op.name(),
                    reason: format!("the input takes {expected} with any batch"),
                    inputs: vec![shape.clone()],
                });
            }
            batch = shape[0];
        }
        Ok(batch)
    }

    /// Inputs and outputs of the network.
    pub fn signature(&self) -> Result<[Vec<TensorInfo>; 2]> {
        let shapes = self.graph.symbolic_shapes()?;
        let info = |id: &crate::graph::VertexId| TensorInfo {
            name: self.graph.get(*id).name.clone(),
            shape: shapes[id.index()].clone(),
            dtype: "f32".into(),
        };
        Ok([self.graph.inputs(), self.graph.outputs()].map(|ids| ids.iter().map(info).collect()))
    }

    /// SHA-256 over the frozen part (structure and weights), its boundary and the preprocessing: equal keys mean equal features.
    pub fn trunk_key(&self, split: &Split) -> Result<String> {
        let mut hash = Hash::default();
        hash.update(self.preprocessing.canonical_json()?);
        for (_, vertex) in split.trunk.iter() {
            let inputs: Vec<usize> = vertex.inputs.iter().map(|i| i.index()).collect();
            let op = serde_json::to_string(&vertex.op).map_err(|e| Error::internal(e.to_string()))?;
            hash.update(format!("{op}{inputs:?}"));
            if let Some(value) = &vertex.value {
                hash.update(value.digest());
            }
        }
        hash.update(split.boundary.join("\0"));
        Ok(hex(&hash.finish()))
    }
}

/// Columns of the first output, where it is a matrix.
fn classes(graph: &Graph) -> Option<usize> {
    let output = graph.get(*graph.outputs().first()?);
    (output.ty.shape.rank() == 2).then(|| output.ty.shape[1])
}
