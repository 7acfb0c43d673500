//! Networks of nothing but added layers and vertices can be trained, in either layout.

use std::sync::Arc;

use regraft::Result;
use regraft::graph::Graph;
use regraft::tensor::{Tensor, TensorType};
use regraft::train::{BatchNormMode, FitOptions, StoppedBy};
use regraft::transfer::{Model, TransferLearningHelper};
use serde_json::{Value, json};

use super::data::{changed, drawn, labels, options, reloaded, run};
use super::networks::{CLASSES, edits};

/// Sums in another order, carried through a few updates.
const TOLERANCE: f64 = 1e-4;

/// Every layer and vertex once, with most activations.
fn additions() -> Vec<Value> {
    let layer = |name: &str, layer: Value, inputs: &[&str]| json!({ "type": "addLayer", "name": name, "layer": layer, "inputs": inputs });
    let vertex = |name: &str, vertex: Value, inputs: &[&str]| json!({ "type": "addVertex", "name": name, "vertex": vertex, "inputs": inputs });
    let conv = |n: usize, activation: &str| json!({ "type": "conv2d", "nOut": n, "kernelSize": 3, "padding": "same", "activation": activation });
    vec![
        layer("stem", conv(6, "elu"), &["x"]),
        layer("norm", json!({ "type": "batchNorm" }), &["stem"]),
        layer(
            "grouped",
            json!({ "type": "conv2d", "nOut": 6, "kernelSize": 2, "groups": 3, "padding": [1, 0, 0, 1], "activation": "mish" }),
            &["norm"],
        ),
        layer(
            "depthwise",
            json!({ "type": "depthwiseConv2d", "kernelSize": 3, "padding": "same", "activation": "gelu" }),
            &["norm"],
        ),
        layer(
            "separable",
            json!({ "type": "separableConv2d", "nOut": 6, "kernelSize": 3, "padding": "same", "depthMultiplier": 2, "activation": "hardswish" }),
            &["norm"],
        ),
        vertex("sum", json!({ "type": "add" }), &["grouped", "depthwise", "separable"]),
        vertex("difference", json!({ "type": "subtract" }), &["grouped", "depthwise"]),
        vertex("mean", json!({ "type": "average" }), &["sum", "difference"]),
        vertex("largest", json!({ "type": "max" }), &["sum", "separable"]),
        layer("layer_norm", json!({ "type": "layerNorm" }), &["mean"]),
        layer("softsign", json!({ "type": "activation", "activation": "softsign" }), &["layer_norm"]),
        vertex("shifted", json!({ "type": "shift", "by": 0.5 }), &["softsign"]),
        vertex("scaled", json!({ "type": "scale", "factor": -0.5 }), &["largest"]),
        layer("max_pooled", json!({ "type": "maxPool", "kernelSize": 2 }), &["shifted"]),
        layer(
            "mean_pooled",
            json!({ "type": "avgPool", "kernelSize": 3, "stride": 2, "padding": "same" }),
            &["scaled"],
        ),
        vertex("merged", json!({ "type": "merge" }), &["max_pooled", "mean_pooled"]),
        layer("pooled", json!({ "type": "globalPool", "pooling": "avg" }), &["merged"]),
        layer("squeeze", json!({ "type": "dense", "nOut": 12, "activation": "hardsigmoid" }), &["pooled"]),
        layer("peak", json!({ "type": "globalPool", "pooling": "max" }), &["merged"]),
        vertex("excited", json!({ "type": "multiply" }), &["squeeze", "peak"]),
        vertex("some", json!({ "type": "subset", "from": 2, "to": 9 }), &["excited"]),
        vertex("unit", json!({ "type": "l2Normalize" }), &["some"]),
        vertex("matrix", json!({ "type": "reshape", "shape": [2, -1] }), &["unit"]),
        layer("flat", json!({ "type": "flatten" }), &["matrix"]),
        layer("dropped", json!({ "type": "dropout", "dropout": 0.1 }), &["flat"]),
        layer("hidden", json!({ "type": "dense", "nOut": 10, "activation": "swish" }), &["dropped"]),
        layer(
            "y",
            json!({ "type": "output", "nOut": CLASSES, "loss": "negativeloglikelihood", "activation": "softmax" }),
            &["hidden"],
        ),
    ]
}

/// `nchw` says how the input is, which all layers follow.
fn network(nchw: bool) -> Result<Model> {
    let mut g = Graph::new();
    let shape = if nchw { [1, 3, 6, 8] } else { [1, 6, 8, 3] };
    let x = g.input("x", TensorType::f32(shape), true)?;
    g.set_outputs(vec![x]);
    let mut all = additions();
    all.push(json!({ "type": "setOutputs", "names": ["y"] }));
    all.push(json!({ "type": "setLabels", "labels": labels() }));
    all.push(json!({ "type": "fineTuneConfiguration", "configuration": { "seed": 3, "activation": "tanh", "weightInit": "relu" } }));
    Model::new(g).edited(&edits(json!(all)))
}

/// The model after training, and the losses.
fn trained(model: &Model, x: &Tensor, targets: &[f32], batch_norm: BatchNormMode) -> Result<(Model, Vec<f64>)> {
    let inputs = [("x".to_owned(), x.clone())];
    let features = TransferLearningHelper::new(model.clone(), None)?.featurize_tensors(&inputs, targets, &labels())?;
    let options = FitOptions { epochs: 20, batch_norm, ..options() };
    let mut trainer = model.trainer(None, Arc::new(features), None, options)?;
    let losses = run(&mut trainer)?;
    let mut trained = model.clone();
    trained.update(trainer.parameters(StoppedBy::Epochs)?)?;
    Ok((trained, losses))
}

#[test]
fn every_layer_is_trained_in_either_layout() -> Result<()> {
    let (nhwc, nchw) = (network(false)?, network(true)?);
    let (inputs, targets) = drawn(&nhwc.graph, 4)?;
    let x = &inputs[0].1;
    let turned = x.permute(&[0, 3, 1, 2])?;
    for mode in [BatchNormMode::Frozen, BatchNormMode::Train] {
        let (after, losses) = trained(&nhwc, x, &targets, mode)?;
        assert_eq!(reloaded(&after)?.graph, after.graph);
        let statistics = |name: &str| name == "norm.mean" || name == "norm.variance";
        let changed = changed(&nhwc, &after);
        let kept: Vec<&str> = nhwc.graph.iter().filter(|(_, v)| v.is_stored()).map(|(_, v)| v.name.as_str()).collect();
        let kept: Vec<&str> = kept.into_iter().filter(|name| !changed.iter().any(|c| c == name)).collect();
        let expected = if mode == BatchNormMode::Frozen { vec!["norm.mean", "norm.variance"] } else { vec![] };
        assert!(kept.len() == expected.len() && kept.iter().all(|name| statistics(name)), "{mode:?}: {kept:?} stayed");
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&losses[..6]), mean(&losses[losses.len() - 6..]));
        assert!(last < 0.75 * first, "{mode:?}: the loss goes from {first} to {last}");

        let (_, other) = trained(&nchw, &turned, &targets, mode)?;
        for (at, (loss, other)) in losses.iter().zip(&other).enumerate() {
            let allowed = TOLERANCE * loss.abs().max(1.0);
            assert!((loss - other).abs() <= allowed, "{mode:?}, update {at}: {loss} in NHWC, {other} in NCHW");
        }
    }
    Ok(())
}
