//! Settings of layers and of fine-tuning, as the API spells them.

use serde::{Deserialize, Serialize};

use super::init::WeightInit;
use crate::graph::Loss;
use crate::train::Updater;

/// Function applied to a layer's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `eˣⁱ / Σ eˣʲ` over the last dimension.
    Softmax,
}

/// Settings for everything that is trained, and defaults for new layers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FineTuneConfiguration {
    /// Updater of all trainable parameters; Nesterov momentum with rate 1e-2 where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updater: Option<Updater>,
    /// Seed of weight initialisation and, unless `fit` gives its own, of training; default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Activation of new layers that do not name one; `identity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Initialisation of new weights; `xavier`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_init: Option<WeightInit>,
    /// First value of new biases; 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias_init: Option<f32>,
}

/// A layer to add.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Layer {
    /// `activation(x·w + b)`.
    Dense(DenseLayer),
    /// A dense layer with a loss: what training starts from.
    Output(DenseLayer),
    /// An activation alone.
    Activation {
        /// The function.
        activation: Activation,
    },
    /// Drops units while training.
    Dropout {
        /// Probability of dropping a unit, in `[0, 1)`.
        dropout: f32,
    },
}

/// A dense or output layer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DenseLayer {
    /// Number of results per row.
    pub n_out: usize,
    /// Number of features it takes; inferred where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_in: Option<usize>,
    /// Loss; on output layers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// Whether a bias is added; true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_bias: Option<bool>,
    /// Function applied to the result; an output layer's default is `softmax`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Initialisation of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_init: Option<WeightInit>,
    /// First value of the biases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias_init: Option<f32>,
    /// Probability of dropping a unit of the layer's input while training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f32>,
}

/// One call of the builder, as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Edit {
    /// Settings for training and defaults for new layers. The last one wins as a whole.
    FineTuneConfiguration {
        /// The settings.
        configuration: FineTuneConfiguration,
    },
    /// Freezes the named vertices and all their ancestors.
    SetFeatureExtractor {
        /// Vertices.
        names: Vec<String>,
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
