//! From images or features to classes.

use serde::Serialize;

use super::model::Model;
use super::trunk::Trunk;
use crate::backend::Session;
use crate::data::{FeatureSet, Image};
use crate::error::{Error, Result};
use crate::eval::Evaluation;
use crate::graph::Graph;
use crate::ops::Op;
use crate::tensor::Tensor;

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
    /// Compiles the model.
    ///
    /// # Errors
    /// `conflict` where the first output is no row of classes per image; as [`Trunk::new`].
    pub fn new(model: &Model) -> Result<Self> {
        let network = Trunk::new(&model.graph, &model.preprocessing, None)?;
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
        let mut row = self.network.featurize(image)?;
        row.truncate(self.columns);
        if !self.is_probability {
            softmax(&mut row);
        }
        Ok(top(&row, self.labels.as_deref(), top_k))
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

fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|x| libm::exp(f64::from(x - max))).sum();
    row.iter_mut().for_each(|x| *x = (libm::exp(f64::from(*x - max)) / total) as f32);
}

fn first_output(graph: &Graph) -> Result<crate::graph::VertexId> {
    graph.outputs().first().copied().ok_or_else(|| Error::conflict("", "the network has no output"))
}

/// Rows that one run of a tail takes.
const BATCH: usize = 32;

impl Model {
    /// Outputs of the tail for every row of the features, which `split(at)` of this model made.
    pub fn output_from_features(&self, features: &FeatureSet, at: Option<&[String]>) -> Result<Vec<(String, Tensor)>> {
        self.outputs_of(features, &(0..features.count()).collect::<Vec<_>>(), at)
    }

    fn outputs_of(
        &self,
        features: &FeatureSet,
        rows: &[usize],
        at: Option<&[String]>,
    ) -> Result<Vec<(String, Tensor)>> {
        let split = self.split(at)?;
        let mut session = Session::new(&split.tail, BATCH, None)?;
        let mut all: Vec<Vec<f32>> = vec![Vec::new(); session.outputs().len()];
        for chunk in rows.chunks(BATCH) {
            let padded: Vec<usize> = chunk.iter().copied().chain(std::iter::repeat(chunk[0])).take(BATCH).collect();
            let values: Vec<Vec<f32>> = (0..split.boundary.len()).map(|t| features.gather(t, &padded)).collect();
            let inputs: Vec<(&str, &[f32])> =
                split.boundary.iter().zip(&values).map(|(name, v)| (name.as_str(), v.as_slice())).collect();
            session.run(&inputs)?;
            for (index, all) in all.iter_mut().enumerate() {
                let output = session.output(index)?;
                all.extend_from_slice(&output[..output.len() / BATCH * chunk.len()]);
            }
        }
        let named = session.outputs().iter().zip(all).map(|((name, shape), values)| {
            let shape: Vec<usize> = [rows.len()].iter().chain(&shape[1..]).copied().collect();
            Ok((name.clone(), Tensor::f32(shape, values)?))
        });
        named.collect()
    }

    /// Judges the first output on the plain views of features with targets. Classes are the model's, by name; those that the
    /// data have no label for do not occur. A model without labels takes those of the data, column by column.
    ///
    /// # Errors
    /// `bad-option` where the labels of the data do not fit the output.
    pub fn evaluate(&self, features: &FeatureSet, top_n: Option<usize>, at: Option<&[String]>) -> Result<Evaluation> {
        let rows = features.plain_rows();
        let outputs = self.outputs_of(features, &rows, at)?;
        let (name, output) = outputs.first().ok_or_else(|| Error::conflict("", "the network has no output"))?;
        let labels = self.labels.as_deref().unwrap_or(features.labels());
        let classes = labels.len();
        if output.shape().rank() != 2 || output.shape()[1] != classes {
            let reason = format!("the data has {classes} labels, output '{name}' is {}", output.shape());
            return Err(Error::option("labels", reason));
        }
        let targets = targets_in(features, &rows, labels)?;
        let ids: Vec<String> = rows.iter().map(|row| features.ids()[*row].clone()).collect();
        let mut probabilities = output.as_f32().unwrap_or_default().to_vec();
        if !matches!(self.graph.get(first_output(&self.graph)?).op, Op::Softmax(_) | Op::Sigmoid(_)) {
            probabilities.chunks_exact_mut(classes).for_each(softmax);
        }
        Evaluation::new(&probabilities, &targets, labels, &ids, top_n.unwrap_or(5))
    }
}

/// Targets of the given rows, with a column for each of `labels`.
fn targets_in(features: &FeatureSet, rows: &[usize], labels: &[String]) -> Result<Vec<f32>> {
    let column = |label: &String| {
        let missing =
            || Error::option("labels", format!("the model has no class '{label}', only {}", labels.join(", ")));
        labels.iter().position(|l| l == label).ok_or_else(missing)
    };
    let columns = features.labels().iter().map(column).collect::<Result<Vec<_>>>()?;
    let mut targets = vec![0.0; rows.len() * labels.len()];
    for (target, row) in targets.chunks_exact_mut(labels.len()).zip(rows) {
        let own = &features.targets()[row * columns.len()..][..columns.len()];
        columns.iter().zip(own).for_each(|(column, value)| target[*column] = *value);
    }
    Ok(targets)
}
