//! Trunk and tail as two parts: features are made once, the tail is trained on them.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::model::Model;
use super::trunk::Trunk;
use crate::backend::Session;
use crate::data::{FeatureSet, FeatureTensor, Image};
use crate::error::{Error, Result};
use crate::formats::safetensors::FloatType;
use crate::graph::Split;
use crate::tensor::{Shape, Tensor};
use crate::train::{FitOptions, History, Status, StoppedBy};

/// A model cut at its frozen boundary, or at named vertices.
#[derive(Debug, Clone)]
pub struct TransferLearningHelper {
    model: Model,
    at: Option<Vec<String>>,
    split: Split,
    key: String,
}

/// An image with its class.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// The pixels.
    pub image: Image<'a>,
    /// Position of its class among the labels.
    pub label: usize,
    /// Names it in evaluations.
    pub id: &'a str,
}

impl TransferLearningHelper {
    /// Cuts at the given vertices, or at the model's own frozen set.
    ///
    /// # Errors
    /// `unknown-vertex`; `conflict` where nothing crosses the boundary.
    pub fn new(model: Model, at: Option<&[&str]>) -> Result<Self> {
        let at = at.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let split = model.split(at.as_deref())?;
        let key = model.trunk_key(&split)?;
        Ok(Self { model, at, split, key })
    }

    /// Boundary vertices, in the order of the feature tensors.
    pub fn boundary(&self) -> &[String] {
        &self.split.boundary
    }

    /// Key of the trunk, which features made by it carry.
    pub fn trunk_key(&self) -> &str {
        &self.key
    }

    /// The model, with what the tail has learnt.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Gives the model back.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// Boundary values of images, each once and as it is.
    ///
    /// # Errors
    /// `bad-option` for labels, `bad-image`, `shape` where the network takes no images of the preprocessing's size.
    pub fn featurize<'a>(
        &self,
        images: impl ExactSizeIterator<Item = Labelled<'a>>,
        labels: &[String],
    ) -> Result<FeatureSet> {
        let mut trunk = Trunk::new(&self.split.trunk, &self.model.preprocessing, None)?;
        let mut set = self.empty(trunk.tensors(), images.len(), labels)?;
        for (row, sample) in images.enumerate() {
            set.set(row, sample.label, sample.id, &trunk.featurize(sample.image)?)?;
        }
        Ok(set)
    }

    /// Boundary values of rows of input tensors, one input a name, in the source's layout. `targets` holds a row of
    /// `labels.len()` values for each.
    ///
    /// # Errors
    /// `bad-option` where inputs are missing or of several lengths; `shape`.
    pub fn featurize_tensors(
        &self,
        inputs: &[(String, Tensor)],
        targets: &[f32],
        labels: &[String],
    ) -> Result<FeatureSet> {
        let count = inputs.first().and_then(|(_, tensor)| tensor.shape().first().copied()).unwrap_or_default();
        let mut session = Session::new(&self.split.trunk, 1, None)?;
        let tensors = session.outputs().iter().map(|(name, shape)| (name.clone(), Shape::from(&shape[1..])));
        let mut set = self.empty(tensors.collect(), count, labels)?;
        if targets.len() != count * labels.len() {
            let (have, classes) = (targets.len(), labels.len());
            return Err(Error::option("targets", format!("{have} values for {count} rows of {classes}")));
        }
        for row in 0..count {
            let mut views = Vec::with_capacity(inputs.len());
            for (name, tensor) in inputs {
                let values = tensor.as_f32().filter(|_| tensor.shape().first() == Some(&count));
                let values =
                    values.ok_or_else(|| Error::option("inputs", format!("'{name}' is no f32 of {count} rows")))?;
                let len = values.len() / count;
                views.push((name.as_str(), &values[row * len..][..len]));
            }
            session.run(&views)?;
            let mut all = Vec::new();
            for index in 0..session.outputs().len() {
                all.extend_from_slice(session.output(index)?);
            }
            let target = &targets[row * labels.len()..][..labels.len()];
            set.set_row(row, target, &row.to_string(), None, &all)?;
        }
        Ok(set)
    }

    fn empty(&self, tensors: Vec<(String, Shape)>, count: usize, labels: &[String]) -> Result<FeatureSet> {
        let tensors = tensors.into_iter().map(|(name, shape)| FeatureTensor { name, shape }).collect();
        FeatureSet::new(tensors, count, labels.to_vec(), self.key.clone(), FloatType::F32)
    }

    /// Trains the tail; the model has what was learnt. `progress` is told of every update and may stop the run, which then
    /// counts as aborted.
    ///
    /// # Errors
    /// `stale-features` where another trunk made the features; as [`Model::trainer`].
    pub fn fit_featurized(
        &mut self,
        train: Arc<FeatureSet>,
        validation: Option<Arc<FeatureSet>>,
        options: FitOptions,
        mut progress: impl FnMut(&Status) -> ControlFlow<()>,
    ) -> Result<History> {
        let mut trainer = self.model.trainer(self.at.as_deref(), train, validation, options)?;
        let stopped_by = loop {
            let status = trainer.step()?;
            if let Some(stopped_by) = status.stopped_by {
                break stopped_by;
            }
            if progress(&status).is_break() {
                break StoppedBy::Aborted;
            }
        };
        self.model.update(trainer.parameters(stopped_by)?)?;
        Ok(trainer.history(stopped_by))
    }

    /// Outputs of the tail for every row of the features, by name.
    ///
    /// # Errors
    /// `stale-features` where another trunk made the features.
    pub fn output_from_featurized(&self, features: &FeatureSet) -> Result<Vec<(String, Tensor)>> {
        features.check_trunk(&self.key)?;
        self.model.output_from_features(features, self.at.as_deref())
    }

    /// The tail alone, with its present parameters.
    ///
    /// # Errors
    /// As [`TransferLearningHelper::new`].
    pub fn unfrozen_graph(&self) -> Result<Model> {
        let graph = self.model.split(self.at.as_deref())?.tail;
        Ok(Model { graph, ..self.model.clone() })
    }
}
