//! From cached features to outputs, and how good they are.

use super::model::Model;
use super::predict::{first_output, softmax};
use crate::backend::{Device, Session, at_once};
use crate::data::FeatureSet;
use crate::error::{Error, Result};
use crate::eval::Evaluation;
use crate::formats::safetensors::FloatType;
use crate::graph::Graph;
use crate::ops::Op;
use crate::tensor::Tensor;
use crate::train::losses;

/// Rows that one run of a tail takes, where there is memory for them.
const BATCH: usize = 32;

/// Input of the targets, where a loss is asked for.
const TARGETS: &str = "evaluate/targets";

impl Model {
    /// [`Model::output_from_features_on`] the CPU.
    pub fn output_from_features(&self, features: &FeatureSet, at: Option<&[String]>) -> Result<Vec<(String, Tensor)>> {
        at_once(self.output_from_features_on(&Device::Cpu, features, at))
    }

    /// Outputs of the tail for every row of the features, which `split(at)` of this model made.
    ///
    /// # Errors
    /// `over-budget` where there is no memory for a single row; on a GPU those of [`Session::on`] and [`Session::arrived`].
    pub async fn output_from_features_on(
        &self,
        device: &Device,
        features: &FeatureSet,
        at: Option<&[String]>,
    ) -> Result<Vec<(String, Tensor)>> {
        let split = self.split(at)?;
        let rows: Vec<usize> = (0..features.count()).collect();
        Batches { features, boundary: &split.boundary, rows: &rows, extra: None }.run(device, &split.tail).await
    }

    /// [`Model::evaluate_on`] the CPU.
    pub fn evaluate(&self, features: &FeatureSet, top_n: Option<usize>, at: Option<&[String]>) -> Result<Evaluation> {
        at_once(self.evaluate_on(&Device::Cpu, features, top_n, at))
    }

    /// Judges the first output on the plain views of features with targets. Classes are the model's, by name; those that the
    /// data have no label for do not occur. A model without labels takes those of the data, column by column.
    ///
    /// The loss is the output's own, without penalties, as the validation loss of training; the cross-entropy where it has none.
    ///
    /// # Errors
    /// `bad-option` where the labels of the data do not fit the output; as [`Model::output_from_features_on`].
    pub async fn evaluate_on(
        &self,
        device: &Device,
        features: &FeatureSet,
        top_n: Option<usize>,
        at: Option<&[String]>,
    ) -> Result<Evaluation> {
        let split = self.split(at)?;
        let mut tail = split.tail;
        let output = first_output(&tail)?;
        let vertex = tail.get(output).clone();
        let labels = self.labels.as_deref().unwrap_or(features.labels());
        let classes = labels.len();
        if vertex.ty.shape.rank() != 2 || vertex.ty.shape[1] != classes {
            let reason = format!("there are {classes}, output '{}' is {}", vertex.name, vertex.ty.shape);
            return Err(Error::option("labels", reason));
        }
        let rows = features.plain_rows();
        let targets = targets_in(features, &rows, labels)?;
        let ids: Vec<String> = rows.iter().map(|row| features.ids()[*row].clone()).collect();

        let mut outputs = vec![output];
        let input = tail.free_name(TARGETS);
        if let Some(loss) = &vertex.loss {
            let input = tail.input(input.clone(), vertex.ty.clone(), true)?;
            outputs.push(losses(&mut tail, output, input, loss)?);
        }
        tail.set_outputs(outputs);
        let extra = Some((input.as_str(), targets.as_slice()));
        let found = Batches { features, boundary: &split.boundary, rows: &rows, extra }.run(device, &tail).await?;
        let mut found = found.iter().map(|(_, values)| values.as_f32().unwrap_or_default());

        let mut probabilities = found.next().unwrap_or_default().to_vec();
        if !matches!(self.graph.get(first_output(&self.graph)?).op, Op::Softmax(_) | Op::Sigmoid(_)) {
            probabilities.chunks_exact_mut(classes).for_each(softmax);
        }
        let mut evaluation = Evaluation::new(&probabilities, &targets, labels, &ids, top_n.unwrap_or(5))?;
        if let Some(losses) = found.next() {
            evaluation.loss = losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len().max(1) as f64;
        }
        Ok(evaluation)
    }
}

/// What a tail is run on.
struct Batches<'a> {
    features: &'a FeatureSet,
    boundary: &'a [String],
    rows: &'a [usize],
    /// One more input: its name, and its values for these rows.
    extra: Option<(&'a str, &'a [f32])>,
}

impl Batches<'_> {
    /// Outputs of a tail for all rows. A smaller batch needs less memory.
    async fn run(&self, device: &Device, tail: &Graph) -> Result<Vec<(String, Tensor)>> {
        let mut batch = BATCH;
        loop {
            match self.run_by(batch, device, tail).await {
                Err(error) if error.code() == "over-budget" && batch > 1 => batch /= 2,
                outcome => return outcome,
            }
        }
    }

    async fn run_by(&self, batch: usize, device: &Device, tail: &Graph) -> Result<Vec<(String, Tensor)>> {
        let Self { features, boundary, rows, extra } = self;
        let halves = if features.dtype() == FloatType::F16 { *boundary } else { &[] };
        let mut session = Session::with_halves(device, tail, batch, None, halves)?;
        let mut all: Vec<Vec<f32>> = vec![Vec::new(); session.outputs().len()];
        for (index, chunk) in rows.chunks(batch).enumerate() {
            let padded: Vec<usize> = chunk.iter().copied().chain(std::iter::repeat(chunk[0])).take(batch).collect();
            for (name, all) in boundary.iter().zip(features.rows()) {
                session.write_rows(name, all, &padded)?;
            }
            if let Some((name, values)) = extra {
                let width = values.len() / rows.len();
                let mut values = values[index * batch * width..][..chunk.len() * width].to_vec();
                values.resize(batch * width, 0.0);
                session.write(name, &values)?;
            }
            session.start(&[])?;
            session.arrived().await?;
            for (index, all) in all.iter_mut().enumerate() {
                let output = session.output(index)?;
                all.extend_from_slice(&output[..output.len() / batch * chunk.len()]);
            }
        }
        let named = session.outputs().iter().zip(all).map(|((name, shape), values)| {
            let shape: Vec<usize> = [rows.len()].iter().chain(&shape[1..]).copied().collect();
            Ok((name.clone(), Tensor::f32(shape, values)?))
        });
        named.collect()
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
