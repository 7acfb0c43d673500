//! The builder as Rust calls it: recorded edits of a copy.

use super::config::{Edit, FineTuneConfiguration};
use super::init::WeightInit;
use super::layer_config::{Layer, LayerKind, VertexKind};
use super::model::Model;
use super::settings::LearningConfig;
use crate::error::Result;
use crate::graph::Loss;

/// Edits of a model, recorded and applied by [`TransferLearning::build`]. Their order does not change the result, and the model
/// stays as it is.
#[derive(Debug, Clone)]
#[must_use = "edits are applied by `build`"]
pub struct TransferLearning<'a> {
    model: &'a Model,
    edits: Vec<Edit>,
}

impl Model {
    /// Starts recording edits of a copy.
    pub fn transfer_learning(&self) -> TransferLearning<'_> {
        TransferLearning { model: self, edits: Vec::new() }
    }
}

impl TransferLearning<'_> {
    fn edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Settings of all layers that are not frozen, and defaults for new ones.
    pub fn fine_tune_configuration(self, configuration: FineTuneConfiguration) -> Self {
        self.edit(Edit::FineTuneConfiguration { configuration })
    }

    /// Freezes the named vertices and all their ancestors. Calls add up.
    pub fn set_feature_extractor(self, names: &[&str]) -> Self {
        self.edit(Edit::SetFeatureExtractor { names: owned(names) })
    }

    /// Makes the named vertices and all that depend on them trainable; everything, where none is named. What
    /// [`TransferLearning::set_feature_extractor`] names is frozen after it.
    pub fn unfreeze(self, names: &[&str]) -> Self {
        self.edit(Edit::Unfreeze { names: owned(names) })
    }

    /// Gives a layer another number of results and draws its parameters anew; what follows is fitted to it.
    pub fn n_out_replace(
        self,
        name: &str,
        n_out: usize,
        init: Option<WeightInit>,
        next_init: Option<WeightInit>,
    ) -> Self {
        self.edit(Edit::NOutReplace { name: name.to_owned(), n_out, init, next_init })
    }

    /// Says how many features a layer takes, and draws its parameters anew.
    pub fn n_in_replace(self, name: &str, n_in: usize, init: Option<WeightInit>) -> Self {
        self.edit(Edit::NInReplace { name: name.to_owned(), n_in, init })
    }

    /// Removes a vertex; its readers keep naming it, so a vertex of the same name must be added.
    pub fn remove_vertex_keep_connections(self, name: &str) -> Self {
        self.edit(Edit::RemoveVertexKeepConnections { name: name.to_owned() })
    }

    /// Removes a vertex and its name from all readers and from the outputs.
    pub fn remove_vertex_and_connections(self, name: &str) -> Self {
        self.edit(Edit::RemoveVertexAndConnections { name: name.to_owned() })
    }

    /// Adds a layer. Several inputs are concatenated; image batches are flattened for dense layers.
    pub fn add_layer(self, name: &str, layer: impl Into<Layer>, inputs: &[&str]) -> Self {
        self.edit(Edit::AddLayer { name: name.to_owned(), layer: layer.into(), inputs: owned(inputs) })
    }

    /// Adds a vertex without parameters.
    pub fn add_vertex(self, name: &str, vertex: VertexKind, inputs: &[&str]) -> Self {
        self.edit(Edit::AddVertex { name: name.to_owned(), vertex, inputs: owned(inputs) })
    }

    /// Replaces the list of inputs, in this order. A vertex that is no input becomes one of its type.
    pub fn set_inputs(self, names: &[&str]) -> Self {
        self.edit(Edit::SetInputs { names: owned(names) })
    }

    /// Replaces the list of outputs, in this order.
    pub fn set_outputs(self, names: &[&str]) -> Self {
        self.edit(Edit::SetOutputs { names: owned(names) })
    }

    /// Names of the classes, in the order of the output's columns.
    pub fn set_labels(self, labels: &[String]) -> Self {
        self.edit(Edit::SetLabels { labels: labels.to_vec() })
    }

    /// The edited copy; [`Model::reinitialized`] names the parameters that were drawn anew.
    ///
    /// # Errors
    /// As [`Model::edited`].
    pub fn build(self) -> Result<Model> {
        self.model.edited(&self.edits)
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Layer {
    /// A dense layer with a bias.
    pub fn dense(n_out: usize) -> Self {
        LayerKind::Dense { n_out, has_bias: true }.into()
    }

    /// An output layer with a bias; its activation is softmax where it has none of its own.
    pub fn output(n_out: usize, loss: Loss) -> Self {
        LayerKind::Output { n_out, loss, loss_weights: Vec::new(), has_bias: true }.into()
    }

    /// The same with these settings.
    #[must_use]
    pub fn with(self, learning: LearningConfig) -> Self {
        Self { learning, ..self }
    }
}
