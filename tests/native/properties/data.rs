//! Random data for a network, training runs, and what is compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft::Result;
use regraft::data::{FeatureSet, FeatureTensor};
use regraft::formats::Format;
use regraft::formats::safetensors::FloatType;
use regraft::graph::Graph;
use regraft::tensor::{Shape, Tensor};
use regraft::train::{FitOptions, StoppedBy, Trainer, Updater};
use regraft::transfer::{ExportOptions, LoadOptions, Model, TransferLearningHelper};

use super::networks::CLASSES;

/// Rows of every data set; not a multiple of the batch.
pub(crate) const ROWS: usize = 7;
const BATCH: usize = 3;
const EPOCHS: u32 = 2;

pub(crate) fn labels() -> Vec<String> {
    (0..CLASSES).map(|c| format!("class{c}")).collect()
}

/// Tensors by name.
type Inputs = Vec<(String, Tensor)>;

/// Rows for all inputs, and a one-hot target for each.
pub(crate) fn drawn(graph: &Graph, seed: u64) -> Result<(Inputs, Vec<f32>)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut inputs = Vec::new();
    for id in graph.inputs() {
        let vertex = graph.get(*id);
        let shape: Vec<usize> = [ROWS].iter().chain(&vertex.ty.shape[1..]).copied().collect();
        let values = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0f32)).collect();
        inputs.push((vertex.name.clone(), Tensor::f32(shape, values)?));
    }
    let mut targets = vec![0.0; ROWS * CLASSES];
    (0..ROWS).for_each(|row| targets[row * CLASSES + rng.random_range(0..CLASSES)] = 1.0);
    Ok((inputs, targets))
}

/// What the frozen part makes of random data.
pub(crate) fn features(model: &Model, seed: u64) -> Result<FeatureSet> {
    let (inputs, targets) = drawn(&model.graph, seed)?;
    TransferLearningHelper::new(model.clone(), None)?.featurize_tensors(&inputs, &targets, &labels())
}

/// The same data as it is, for training through the frozen part.
pub(crate) fn raw(model: &Model, seed: u64) -> Result<FeatureSet> {
    let (inputs, targets) = drawn(&model.graph, seed)?;
    let tensor = |(name, tensor): &(String, Tensor)| FeatureTensor {
        name: name.clone(),
        shape: Shape::from(&tensor.shape()[1..]),
    };
    let tensors = inputs.iter().map(tensor).collect();
    let mut set = FeatureSet::new(tensors, ROWS, labels(), "raw".into(), FloatType::F32)?;
    for row in 0..ROWS {
        let values = |tensor: &Tensor| {
            let values = tensor.as_f32().unwrap_or_default();
            values[row * values.len() / ROWS..][..values.len() / ROWS].to_vec()
        };
        let all: Vec<f32> = inputs.iter().flat_map(|(_, tensor)| values(tensor)).collect();
        set.set_row(row, &targets[row * CLASSES..][..CLASSES], &row.to_string(), None, &all)?;
    }
    Ok(set)
}

/// Updates that change enough to be seen.
pub(crate) fn options() -> FitOptions {
    let updater = Updater::Nesterovs { learning_rate: 0.05.into(), momentum: 0.9.into() };
    FitOptions { epochs: EPOCHS, batch_size: BATCH, updater: Some(updater), seed: Some(5), ..FitOptions::default() }
}

/// Runs to the end; gives the losses.
pub(crate) fn run(trainer: &mut Trainer) -> Result<Vec<f64>> {
    while !trainer.step()?.finished {}
    Ok(trainer.history(StoppedBy::Epochs).iterations.iter().map(|i| i.loss).collect())
}

/// The model after training on features of random data, and the losses.
pub(crate) fn fitted(model: &Model, options: FitOptions) -> Result<(Model, Vec<f64>)> {
    let mut trainer = model.trainer(None, Arc::new(features(model, 1)?), None, options)?;
    let losses = run(&mut trainer)?;
    let mut trained = model.clone();
    trained.update(trainer.parameters(StoppedBy::Epochs)?)?;
    Ok((trained, losses))
}

/// Every stored value as bits.
pub(crate) fn stored(model: &Model) -> BTreeMap<String, Vec<u32>> {
    let values = model.graph.iter().filter_map(|(_, v)| Some((v.name.clone(), v.value.as_ref()?.as_f32()?.to_vec())));
    values.map(|(name, values)| (name, values.iter().map(|x| x.to_bits()).collect())).collect()
}

/// Names of stored values that differ.
pub(crate) fn changed(before: &Model, after: &Model) -> Vec<String> {
    let (before, after) = (stored(before), stored(after));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "other values are stored");
    before.iter().filter(|(name, values)| after[*name] != **values).map(|(name, _)| name.clone()).collect()
}

/// The bytes of a model's own file.
fn bytes(model: &Model) -> Result<Vec<u8>> {
    let export = model.export(Format::Regraft, &ExportOptions::default())?;
    Ok(export.files.into_values().next().unwrap_or_default())
}

/// Written and read.
pub(crate) fn reloaded(model: &Model) -> Result<Model> {
    let bytes = bytes(model)?;
    Model::load(&BTreeMap::from([("model".to_owned(), bytes.as_slice())]), &LoadOptions::default())
}
