//! Edits as the API spells them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::init::WeightInit;
use super::layer_config::{Layer, VertexKind};
use super::settings::LearningConfig;

/// Function applied to a layer's result. Formulas: `activation.rs` and the ops it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the field's; each formula stands where it is computed")]
pub enum Activation {
    Identity,
    Relu,
    Relu6,
    LeakyRelu,
    Elu,
    Selu,
    Gelu,
    Sigmoid,
    HardSigmoid,
    Tanh,
    HardTanh,
    Softmax,
    Softplus,
    Softsign,
    Swish,
    HardSwish,
    Mish,
}

/// Settings for everything that is trained, and defaults for new layers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FineTuneConfiguration {
    /// Seed of weight initialisation and, unless `fit` gives its own, of training; default 0.
    pub seed: Option<u64>,
    /// Settings of all layers that are not frozen.
    pub learning: LearningConfig,
}

impl FineTuneConfiguration {
    /// These settings where they say something, else those below.
    #[must_use]
    pub(super) fn over(&self, below: &Self) -> Self {
        Self { seed: self.seed.or(below.seed), learning: self.learning.over(&below.learning) }
    }
}

/// One call of the builder, as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Edit {
    /// Settings of all layers that are not frozen, and defaults for new layers.
    FineTuneConfiguration {
        /// The settings.
        configuration: FineTuneConfiguration,
    },
    /// Freezes the named vertices and all their ancestors. Calls add up.
    SetFeatureExtractor {
        /// Vertices.
        names: Vec<String>,
    },
    /// Makes the named vertices and all that depend on them trainable; everything, where none is named. Freezing by
    /// `SetFeatureExtractor` is done after it.
    Unfreeze {
        /// Vertices.
        names: Vec<String>,
    },
    /// Gives a layer another number of results and draws its parameters anew; what follows is fitted to it.
    NOutReplace {
        /// The layer.
        name: String,
        /// Results.
        n_out: usize,
        /// Initialisation of its weights.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        init: Option<WeightInit>,
        /// Initialisation of the weights that have to be fitted to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_init: Option<WeightInit>,
    },
    /// Says how many features a layer takes, and draws its parameters anew.
    NInReplace {
        /// The layer.
        name: String,
        /// Features; another number than the layer's input has is an error.
        n_in: usize,
        /// Initialisation of its weights.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        init: Option<WeightInit>,
    },
    /// Removes a vertex; its readers keep naming it, so a vertex of the same name must be added.
    RemoveVertexKeepConnections {
        /// The vertex.
        name: String,
    },
    /// Removes a vertex and its name from all readers and from the outputs.
    RemoveVertexAndConnections {
        /// The vertex.
        name: String,
    },
    /// Adds a layer. Several inputs are concatenated; image batches are flattened for dense layers.
    AddLayer {
        /// Its name.
        name: String,
        /// What it is.
        layer: Layer,
        /// Vertices it reads.
        inputs: Vec<String>,
    },
    /// Adds a vertex without parameters.
    AddVertex {
        /// Its name.
        name: String,
        /// What it is.
        vertex: VertexKind,
        /// Vertices it reads.
        inputs: Vec<String>,
    },
    /// Replaces the list of inputs, in this order. A vertex that is no input becomes one of its type; what only it needed goes.
    SetInputs {
        /// Vertices.
        names: Vec<String>,
    },
    /// Replaces the list of outputs, in this order.
    SetOutputs {
        /// Vertices.
        names: Vec<String>,
    },
    /// Names of the classes, in the order of the output's columns.
    SetLabels {
        /// Labels.
        labels: Vec<String>,
    },
}

// Flat in JSON. `serde(flatten)` would let misspelt names pass.
impl Serialize for FineTuneConfiguration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = object::<S>(&self.learning)?;
        if let Some(seed) = self.seed {
            all.insert("seed".into(), seed.into());
        }
        all.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FineTuneConfiguration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = Map::deserialize(deserializer)?;
        let seed = all.remove("seed").map(parse::<_, D>).transpose()?.flatten();
        Ok(Self { seed, learning: parse::<_, D>(Value::Object(all))? })
    }
}

pub(super) fn parse<'de, T: serde::de::DeserializeOwned, D: Deserializer<'de>>(value: Value) -> Result<T, D::Error> {
    serde_json::from_value(value).map_err(serde::de::Error::custom)
}

pub(super) fn object<S: Serializer>(value: &impl Serialize) -> Result<Map<String, Value>, S::Error> {
    match serde_json::to_value(value).map_err(serde::ser::Error::custom)? {
        Value::Object(all) => Ok(all),
        other => Err(serde::ser::Error::custom(format!("not an object: {other}"))),
    }
}
