//! Fine-tuning of the last block of a small MobileNetV2 against Keras: losses of ten updates and all parameters after them, running
//! statistics included (tests/reference/mobilenet_block.py made the golden).

use std::collections::BTreeMap;
use std::sync::Arc;

use regraft::backend::Session;
use regraft::data::{FeatureSet, FeatureTensor, Preprocessing};
use regraft::formats::safetensors::FloatType;
use regraft::graph::{Graph, VertexId};
use regraft::ops::{Add, BatchNorm, Clamp, Clip, Conv2d, DepthwiseConv2d, GlobalAvgPool, Layout, Op, Role, Window};
use regraft::tensor::{Shape, Tensor, TensorType};
use regraft::train::{FitOptions, StoppedBy, Trainer};
use regraft::transfer::{Edit, FineTuneConfiguration, Model};
use regraft::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// Largest relative difference of a loss: the golden is f64, and ten updates through four batch norms carry our rounding on.
const LOSS_TOLERANCE: f64 = 1e-4;
/// Largest difference of a parameter, beside 1: Adam divides small gradients by their own size, rounding included.
const PARAMETER_TOLERANCE: f64 = 1e-3;

const SIDE: usize = 12;
const CLASSES: usize = 4;
/// The last frozen vertex.
const BOUNDARY: &str = "block1_project_bn";

#[derive(Deserialize)]
struct Golden {
    epsilon: f32,
    momentum: f32,
    batch: usize,
    labels: Vec<usize>,
    pixels: Vec<u8>,
    start: BTreeMap<String, Start>,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Start {
    shape: Vec<usize>,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct Run {
    updater: Value,
    #[serde(rename = "batchNorm")]
    batch_norm: String,
    losses: Vec<f64>,
    parameters: BTreeMap<String, Vec<f64>>,
}

fn golden() -> Golden {
    let text = include_str!("../reference/mobilenet_block.json");
    serde_json::from_str(text).unwrap_or_else(|e| panic!("tests/reference/mobilenet_block.json: {e}"))
}

/// Builds the network from the golden's first parameters.
struct Net<'a> {
    g: Graph,
    golden: &'a Golden,
}

impl Net<'_> {
    fn parameter(&mut self, name: String, role: Role) -> Result<VertexId> {
        let start = &self.golden.start[&name];
        self.g.parameter(name, role, Tensor::f32(start.shape.clone(), start.values.clone())?)
    }

    /// A convolution of any kind without a bias, and its batch norm.
    fn conv(&mut self, x: VertexId, name: &str, op: impl Into<Op>) -> Result<VertexId> {
        let w = self.parameter(format!("{name}.weight"), Role::Weight)?;
        let y = self.g.add(name, op, &[x, w])?;
        let norm = format!("{name}_bn");
        let roles = [("gamma", Role::Gamma), ("beta", Role::Beta), ("mean", Role::Mean), ("variance", Role::Variance)];
        let mut inputs = vec![y];
        for (part, role) in roles {
            inputs.push(self.parameter(format!("{norm}.{part}"), role)?);
        }
        let (epsilon, momentum) = (self.golden.epsilon, self.golden.momentum);
        self.g.add(norm, BatchNorm { epsilon, momentum, layout: Layout::Nhwc, clamp: None }, &inputs)
    }

    fn relu6(&mut self, x: VertexId) -> Result<VertexId> {
        let name = format!("{}_relu", self.g.get(x).name);
        self.g.add(name, Clip { clamp: Clamp::RELU6 }, &[x])
    }

    fn block(&mut self, x: VertexId, name: &str, stride: usize) -> Result<VertexId> {
        let y = self.conv(x, &format!("{name}_expand"), convolution(Window::default()))?;
        let y = self.relu6(y)?;
        let size = self.g.get(y).ty.shape[1];
        let op = DepthwiseConv2d { window: same(size, stride), bias: false, clamp: None, layout: Layout::Nhwc };
        let y = self.conv(y, &format!("{name}_depthwise"), op)?;
        let y = self.relu6(y)?;
        self.conv(y, &format!("{name}_project"), convolution(Window::default()))
    }
}

fn convolution(window: Window) -> Conv2d {
    Conv2d { window, groups: 1, bias: false, residual: false, clamp: None, layout: Layout::Nhwc }
}

/// A window of 3×3 with TensorFlow's `SAME` padding.
fn same(size: usize, stride: usize) -> Window {
    let padding = Window::same([size; 2], [3; 2], [stride; 2], [1; 2]);
    Window { stride: [stride; 2], padding, ..Window::default() }
}

fn network(golden: &Golden) -> Result<Graph> {
    let mut net = Net { g: Graph::new(), golden };
    let x = net.g.input("image", TensorType::f32([1, SIDE, SIDE, 3]), true)?;
    let x = net.conv(x, "stem", convolution(same(SIDE, 2)))?;
    let x = net.relu6(x)?;
    let x = net.block(x, "block1", 2)?;
    let y = net.block(x, "block2", 1)?;
    let x = net.g.add("block2_add", Add, &[x, y])?;
    let x = net.conv(x, "last", convolution(Window::default()))?;
    let x = net.relu6(x)?;
    let x = net.g.add("pool", GlobalAvgPool { layout: Layout::Nhwc }, &[x])?;
    net.g.set_outputs(vec![x]);
    Ok(net.g)
}

/// The network with its head, frozen up to the boundary.
fn model(golden: &Golden) -> Result<Model> {
    let body = Model {
        graph: network(golden)?,
        labels: None,
        preprocessing: Preprocessing::default(),
        configuration: FineTuneConfiguration::default(),
        settings: Default::default(),
        reinitialized: Vec::new(),
        provenance: BTreeMap::new(),
    };
    let edits = json!([
        { "type": "setFeatureExtractor", "names": [BOUNDARY] },
        { "type": "addLayer", "name": "predictions", "inputs": ["pool"],
          "layer": { "type": "output", "nOut": CLASSES, "loss": "negativeloglikelihood" } },
        { "type": "setOutputs", "names": ["predictions"] },
    ]);
    let edits: Vec<Edit> = serde_json::from_value(edits).unwrap_or_else(|e| panic!("edits: {e}"));
    let mut model = body.edited(&edits)?;
    let head = ["predictions.weight", "predictions.bias"].map(|name| {
        let start = &golden.start[name];
        Ok((name.to_owned(), Tensor::f32(start.shape.clone(), start.values.clone())?))
    });
    model.update(head.into_iter().collect::<Result<_>>()?)?;
    Ok(model)
}

fn features(golden: &Golden, trunk: &Graph) -> Result<FeatureSet> {
    let mut session = Session::new(trunk, 1, None)?;
    let (name, shape) = session.outputs()[0].clone();
    let tensors = vec![FeatureTensor { name, shape: Shape::from(&shape[1..]) }];
    let labels = (0..CLASSES).map(|c| c.to_string()).collect();
    let mut set = FeatureSet::new(tensors, golden.labels.len(), labels, "key".into(), FloatType::F32)?;
    for (row, (label, pixels)) in golden.labels.iter().zip(golden.pixels.chunks_exact(SIDE * SIDE * 3)).enumerate() {
        let image: Vec<f32> = pixels.iter().map(|&p| f32::from(p) / 128.0 - 1.0).collect();
        session.run(&[("image", &image)])?;
        set.set(row, *label, &row.to_string(), session.output(0)?)?;
    }
    Ok(set)
}

fn options(run: &Run, golden: &Golden) -> Result<FitOptions> {
    let json = json!({
        "epochs": 100, "batchSize": golden.batch, "maxIterations": run.losses.len(), "shuffle": false,
        "updater": run.updater, "batchNorm": run.batch_norm,
    });
    serde_json::from_value(json).map_err(|e| Error::BadOption { option: "fit", reason: e.to_string() })
}

fn check(updater: &str, batch_norm: &str) -> Result<()> {
    let golden = golden();
    let run = golden.runs.iter().find(|r| r.batch_norm == batch_norm && r.updater["type"] == updater);
    let run = run.unwrap_or_else(|| panic!("the golden has no run of {updater}, {batch_norm}"));
    let model = model(&golden)?;
    let split = model.split(None)?;
    assert_eq!(split.boundary, [BOUNDARY], "boundary");
    let set = Arc::new(features(&golden, &split.trunk)?);
    let mut trainer = Trainer::new(&split.tail, &model.settings, set, None, options(run, &golden)?, None)?;
    while !trainer.step()?.finished {}
    let losses: Vec<f64> = trainer.history(StoppedBy::Iterations).iterations.iter().map(|i| i.loss).collect();
    assert_eq!(losses.len(), run.losses.len(), "updates");
    for (step, (ours, theirs)) in losses.iter().zip(&run.losses).enumerate() {
        let relative = (ours - theirs).abs() / theirs.abs();
        assert!(relative <= LOSS_TOLERANCE, "update {step}: loss {ours} against {theirs}, relative {relative:e}");
    }
    let mut ours: BTreeMap<String, Tensor> = trainer.parameters(StoppedBy::Iterations)?.into_iter().collect();
    for (name, theirs) in &run.parameters {
        let is_statistic = name.ends_with("mean") || name.ends_with("variance");
        let Some(ours) = ours.remove(name) else {
            assert!(is_statistic && batch_norm == "frozen", "'{name}' is not among the trained parameters");
            continue;
        };
        let ours = ours.as_f32().unwrap_or_default();
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let difference = (f64::from(*ours) - theirs).abs() / theirs.abs().max(1.0);
            assert!(difference <= PARAMETER_TOLERANCE, "{name}[{index}]: {ours} against {theirs}");
        }
    }
    assert!(ours.is_empty(), "trained, but not in the golden: {:?}", ours.keys());
    Ok(())
}

#[test]
fn a_block_with_stored_statistics_follows_keras_by_momentum() -> Result<()> {
    check("nesterovs", "frozen")
}

#[test]
fn a_block_with_stored_statistics_follows_keras_by_adam() -> Result<()> {
    check("adam", "frozen")
}

#[test]
fn a_block_with_the_statistics_of_its_batches_follows_keras_by_momentum() -> Result<()> {
    check("nesterovs", "train")
}

#[test]
fn a_block_with_the_statistics_of_its_batches_follows_keras_by_adam() -> Result<()> {
    check("adam", "train")
}
