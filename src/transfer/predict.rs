//! From images to classes.

use serde::Serialize;

use super::model::Model;
use super::trunk::Trunk;
use crate::backend::Device;
use crate::data::Image;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::Op;

/// A class with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Label, or the column's number where the model has none.
    pub label: String,
    /// Column of the first output.
    pub index: usize,
    /// Probability; the first output's own where it ends in a softmax, else that of a softmax over it.
    pub probability: f32,
}

/// A whole model ready to run on single images.
#[derive(Debug)]
pub struct Predictor {
    network: Trunk,
    labels: Option<Vec<String>>,
    columns: usize,
    is_probability: bool,
}

impl Predictor {
    /// [`Predictor::on`] the CPU.
    pub fn new(model: &Model) -> Result<Self> {
        Self::on(&Device::Cpu, model)
    }

    /// Compiles the model.
    ///
    /// # Errors
    /// `conflict` where the first output is no row of classes per image; as [`Trunk::on`].
    pub fn on(device: &Device, model: &Model) -> Result<Self> {
        let network = Trunk::on(device, &model.graph, &model.preprocessing, 1, None)?;
        let output = first_output(&model.graph)?;
        let vertex = model.graph.get(output);
        if vertex.ty.shape.rank() != 2 {
            let reason = format!("an output of {} gives no class; name another with setOutputs", vertex.ty.shape);
            return Err(Error::conflict(&vertex.name, reason));
        }
        Ok(Self {
            network,
            labels: model.labels.clone(),
            columns: vertex.ty.shape[1],
            is_probability: matches!(vertex.op, Op::Softmax(_) | Op::Sigmoid(_)),
        })
    }

    /// The `top_k` most probable classes, best first; ties go to the lower index.
    pub fn predict(&mut self, image: Image<'_>, top_k: usize) -> Result<Vec<Prediction>> {
        let row = self.network.featurize(image)?;
        Ok(self.best(row, top_k))
    }

    /// [`Predictor::predict`] for preprocessed pixels, `[height, width, 3]`, on any device.
    ///
    /// # Errors
    /// As [`Trunk::run`].
    pub async fn predict_pixels(&mut self, pixels: &[f32], top_k: usize) -> Result<Vec<Prediction>> {
        let row = self.network.run(pixels).await?;
        Ok(self.best(row, top_k))
    }

    fn best(&self, mut row: Vec<f32>, top_k: usize) -> Vec<Prediction> {
        row.truncate(self.columns);
        if !self.is_probability {
            softmax(&mut row);
        }
        top(&row, self.labels.as_deref(), top_k)
    }
}

/// The `top_k` largest of a row of probabilities, as predictions.
pub fn top(row: &[f32], labels: Option<&[String]>, top_k: usize) -> Vec<Prediction> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
    let label = |index: usize| labels.and_then(|l| l.get(index).cloned()).unwrap_or_else(|| index.to_string());
    order
        .into_iter()
        .take(top_k)
        .map(|index| Prediction { label: label(index), index, probability: row[index] })
        .collect()
}

pub(super) fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|x| libm::exp(f64::from(x - max))).sum();
    row.iter_mut().for_each(|x| *x = (libm::exp(f64::from(*x - max)) / total) as f32);
}

pub(super) fn first_output(graph: &Graph) -> Result<crate::graph::VertexId> {
    graph.outputs().first().copied().ok_or_else(|| Error::conflict("", "the network has no output"))
}
