//! Training against JAX: losses of 20 steps and the weights after them (tests/reference/training.py made the golden).

use std::collections::BTreeMap;
use std::sync::Arc;

use regraft::data::{FeatureSet, FeatureTensor};
use regraft::formats::safetensors::FloatType;
use regraft::graph::Graph;
use regraft::tensor::{Tensor, TensorType};
use regraft::train::{FitOptions, StoppedBy, Trainer, Updater};
use regraft::transfer::{Edit, Model};
use regraft::{Error, Result};
use serde::Deserialize;

/// Largest relative difference of a loss: both sides compute in f32 and sum in their own order.
const LOSS_TOLERANCE: f64 = 1e-4;
/// Largest difference of a weight, beside 1: twenty steps add up the rounding of f32.
const WEIGHT_TOLERANCE: f64 = 2e-4;

const FEATURES: usize = 13;
const HIDDEN: usize = 7;
const CLASSES: usize = 3;
const BATCH: usize = 8;

#[derive(Deserialize)]
struct Golden {
    x: Vec<f32>,
    labels: Vec<usize>,
    start: BTreeMap<String, Vec<f32>>,
    sgd: Run,
    nesterovs: Run,
    adam: Run,
}

#[derive(Deserialize)]
struct Run {
    losses: Vec<f64>,
    weights: BTreeMap<String, Vec<f64>>,
}

fn golden() -> Golden {
    let text = include_str!("../reference/training.json");
    serde_json::from_str(text).unwrap_or_else(|e| panic!("tests/reference/training.json: {e}"))
}

fn edits(json: serde_json::Value) -> Vec<Edit> {
    serde_json::from_value(json).unwrap_or_else(|e| panic!("edits: {e}"))
}

/// One input, a hidden relu layer and a softmax output, with the golden's first weights.
fn model(golden: &Golden) -> Result<Model> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([1, FEATURES]), true)?;
    graph.set_outputs(vec![x]);
    let mut model = Model::new(graph).edited(&edits(serde_json::json!([
        { "type": "addLayer", "name": "hidden", "inputs": ["x"], "layer": { "type": "dense", "nOut": HIDDEN, "activation": "relu" } },
        { "type": "addLayer", "name": "predictions", "inputs": ["hidden"],
          "layer": { "type": "output", "nOut": CLASSES, "loss": "negativeloglikelihood" } },
        { "type": "setOutputs", "names": ["predictions"] },
    ])))?;
    let shape = |name: &str| match name {
        "hidden.weight" => vec![FEATURES, HIDDEN],
        "predictions.weight" => vec![HIDDEN, CLASSES],
        "hidden.bias" => vec![HIDDEN],
        _ => vec![CLASSES],
    };
    let start = golden.start.iter().map(|(name, v)| Ok((name.clone(), Tensor::f32(shape(name), v.clone())?)));
    model.update(start.collect::<Result<_>>()?)?;
    Ok(model)
}

fn features(golden: &Golden) -> Result<FeatureSet> {
    let labels = (0..CLASSES).map(|c| c.to_string()).collect();
    let tensors = vec![FeatureTensor { name: "x".into(), shape: [FEATURES].into() }];
    let mut set = FeatureSet::new(tensors, golden.labels.len(), labels, "key".into(), FloatType::F32)?;
    for (row, label) in golden.labels.iter().enumerate() {
        set.set(row, *label, &row.to_string(), &golden.x[row * FEATURES..][..FEATURES])?;
    }
    Ok(set)
}

fn check(updater: serde_json::Value, expected: impl Fn(&Golden) -> &Run) -> Result<()> {
    let golden = golden();
    let updater: Updater =
        serde_json::from_value(updater).map_err(|e| Error::BadOption { option: "updater", reason: e.to_string() })?;
    let model = model(&golden)?;
    let options = FitOptions {
        epochs: 7,
        batch_size: BATCH,
        max_iterations: Some(20),
        shuffle: false,
        updater: Some(updater),
        ..FitOptions::default()
    };
    let tail = model.split(Some(&["x".into()]))?.tail;
    let mut trainer = Trainer::new(&tail, &model.settings, Arc::new(features(&golden)?), None, options, None)?;
    while !trainer.step()?.finished {}
    let run = expected(&golden);
    let history = trainer.history(StoppedBy::Iterations);
    assert_eq!(history.iterations.len(), run.losses.len(), "number of steps");
    for (step, (ours, theirs)) in history.iterations.iter().zip(&run.losses).enumerate() {
        let relative = (ours.loss - theirs).abs() / theirs.abs();
        assert!(relative <= LOSS_TOLERANCE, "step {step}: loss {} against {theirs}, relative {relative:e}", ours.loss);
    }
    for (name, value) in trainer.parameters(StoppedBy::Iterations)? {
        let theirs = &run.weights[&name];
        for (index, (ours, theirs)) in value.as_f32().unwrap_or_default().iter().zip(theirs).enumerate() {
            let difference = (f64::from(*ours) - theirs).abs() / theirs.abs().max(1.0);
            assert!(difference <= WEIGHT_TOLERANCE, "{name}[{index}]: {ours} against {theirs}");
        }
        assert_eq!(value.shape().len(), theirs.len(), "{name}");
    }
    Ok(())
}

#[test]
fn sgd_follows_jax() -> Result<()> {
    check(serde_json::json!({ "type": "sgd", "learningRate": 0.1 }), |g| &g.sgd)
}

#[test]
fn nesterovs_follows_jax() -> Result<()> {
    check(serde_json::json!({ "type": "nesterovs", "learningRate": 0.05, "momentum": 0.9 }), |g| &g.nesterovs)
}

#[test]
fn adam_follows_jax() -> Result<()> {
    check(serde_json::json!({ "type": "adam", "learningRate": 0.01 }), |g| &g.adam)
}

/// Where a feature is 0 for many updates, its velocity halves in each: after 127 of them it is subnormal, unless it was set to 0.
#[test]
fn decayed_state_is_not_left_subnormal() -> Result<()> {
    const UPDATES: usize = 128;
    let golden = golden();
    let labels = (0..CLASSES).map(|c| c.to_string()).collect();
    let tensors = vec![FeatureTensor { name: "x".into(), shape: [FEATURES].into() }];
    let mut set = FeatureSet::new(tensors, UPDATES, labels, "key".into(), FloatType::F32)?;
    for row in 0..UPDATES {
        let x: Vec<f32> = (0..FEATURES).map(|at| if (at == 0) == (row == 0) { 1.0 } else { 0.0 }).collect();
        set.set(row, row % CLASSES, &row.to_string(), &x)?;
    }
    let updater =
        serde_json::from_value(serde_json::json!({ "type": "nesterovs", "learningRate": 0.01, "momentum": 0.5 }))
            .expect("an updater");
    let options =
        FitOptions { epochs: 1, batch_size: 1, shuffle: false, updater: Some(updater), ..FitOptions::default() };
    let model = model(&golden)?;
    let tail = model.split(Some(&["x".into()]))?.tail;
    let mut trainer = Trainer::new(&tail, &model.settings, Arc::new(set), None, options, None)?;
    while !trainer.step()?.finished {}
    let bytes = trainer.checkpoint()?;
    let (length, rest) = bytes.split_first_chunk().expect("a safetensors file begins with the length of its header");
    let values = rest[u64::from_le_bytes(*length) as usize..].as_chunks().0.iter().map(|x| f32::from_le_bytes(*x));
    let (subnormal, normal): (Vec<f32>, Vec<f32>) = values.filter(|x| *x != 0.0).partition(|x| x.is_subnormal());
    assert!(subnormal.is_empty() && !normal.is_empty(), "{subnormal:?}");
    Ok(())
}
