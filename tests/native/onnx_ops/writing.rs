//! Files that we write: judged by onnx's checker and onnxruntime, and read again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regraft::Result;
use regraft::backend::Session;
use regraft::formats::{Format, onnx};
use regraft::graph::{Graph, VertexId};
use regraft::ops::{Case as OpCase, Layout, Op, Role, all_cases};
use regraft::tensor::{Tensor, TensorType};
use regraft::transfer::{LoadOptions, Model};
use regraft::zoo::Architecture;

use super::judge::{self, Case};

/// Seed of all drawn values.
const SEED: u64 = 20_240_711;
/// Both sides compute in f32, in other orders.
const TOLERANCE: &str = "1e-4";
/// Ops that only execution and training have.
const NOT_WRITTEN: &[&str] = &[
    "activate_grad",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "amsgrad",
    "avg_pool_grad",
    "batch_mean",
    "batch_norm_gamma_grad",
    "batch_variance",
    "broadcast_like",
    "clip_grad",
    "constrain_norm",
    "constrain_sign",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "depthwise_conv2d_input_grad",
    "depthwise_conv2d_weight_grad",
    "l2_normalize_grad",
    "layer_norm_grad",
    "max_pool_grad",
    "moving_average",
    "maximum_grad",
    "nadam",
    "nesterovs",
    "normalize_batch",
    "normalize_batch_grad",
    "penalize",
    "reshape_like",
    "rmsprop",
    "row_loss",
    "row_loss_grad",
    "scale_norm",
    "sgd",
    "sigmoid_grad",
    "softmax_grad",
    "softmax_nll",
    "softmax_nll_grad",
    "sum_like",
    "sum_squares",
    "weight_decay",
];

/// `[n, h, w, c] → [n, c, h, w]`.
const TO_NCHW: [usize; 4] = [0, 3, 1, 2];

/// The layout of an op that has one.
fn layout(op: &mut Op) -> Option<&mut Layout> {
    match op {
        Op::Conv2d(op) => Some(&mut op.layout),
        Op::DepthwiseConv2d(op) => Some(&mut op.layout),
        Op::BatchNorm(op) => Some(&mut op.layout),
        Op::LayerNorm(op) => Some(&mut op.layout),
        Op::MaxPool(op) => Some(&mut op.layout),
        Op::AvgPool(op) => Some(&mut op.layout),
        Op::GlobalAvgPool(op) => Some(&mut op.layout),
        _ => None,
    }
}

/// Roles of the inputs after the first, where they are weights.
fn roles(op: &Op) -> &'static [Role] {
    match op {
        Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::Dense(_) => &[Role::Weight, Role::Bias],
        Op::LayerNorm(_) => &[Role::Gamma, Role::Beta],
        Op::BatchNorm(_) => &[Role::Gamma, Role::Beta, Role::Mean, Role::Variance],
        _ => &[],
    }
}

/// A graph of one op, in the layout asked for. Image batches and rows of a dense layer are batched.
fn graph_of(case: &OpCase, wanted: Layout) -> Result<(Graph, Vec<Tensor>)> {
    let mut op = case.op.clone();
    if let Some(layout) = layout(&mut op) {
        *layout = wanted;
    }
    let turns = |rank: usize| wanted == Layout::Nchw && rank == 4;
    let batched = layout(&mut op.clone()).is_some() || matches!(op, Op::Dense(_));
    let (mut graph, mut ids, mut given) = (Graph::new(), Vec::new(), Vec::new());
    for (at, (input, values)) in case.inputs.iter().zip(case.draw(SEED)).enumerate() {
        let tensor = Tensor::f32(input.shape.clone(), values)?;
        ids.push(match at.checked_sub(1).and_then(|at| roles(&op).get(at)) {
            Some(role) => graph.parameter(format!("weights.{at}"), *role, tensor)?,
            None => {
                let spatial = batched && turns(input.shape.rank());
                let tensor = if spatial { tensor.permute(&TO_NCHW)? } else { tensor };
                let id = graph.input(format!("x{at}"), tensor.ty(), batched)?;
                given.push(tensor);
                id
            }
        });
    }
    let y = graph.add("y", op, &ids)?;
    graph.set_outputs(vec![y]);
    Ok((graph, given))
}

/// Writes a graph with inputs and our outputs, for the judge.
pub(crate) fn put(folder: &Path, name: &str, graph: &Graph, bytes: &[u8], given: &[Tensor]) -> Result<Case> {
    let named: Vec<(String, Vec<usize>)> = graph
        .inputs()
        .iter()
        .zip(given)
        .map(|(id, tensor)| (graph.get(*id).name.clone(), tensor.shape().to_vec()))
        .collect();
    let values: Vec<Vec<f32>> = given.iter().map(|t| t.as_f32().unwrap_or_default().to_vec()).collect();
    let found = judge::run(graph, &named, &values)?;
    let output = |(id, (shape, _)): (&VertexId, &(Vec<usize>, Vec<f32>))| (graph.get(*id).name.clone(), shape.clone());
    let outputs = graph.outputs().iter().zip(&found).map(output).collect();
    let elements = values.iter().chain(found.iter().map(|(_, y)| y)).flatten().flat_map(|v| v.to_le_bytes());
    fs::write(folder.join(format!("{name}.bin")), elements.collect::<Vec<u8>>()).expect("can be written");
    fs::write(folder.join(format!("{name}.onnx")), bytes).expect("can be written");
    Ok(Case { name: name.into(), inputs: named, outputs })
}

pub(crate) fn check(folder: &Path, cases: &[Case]) {
    let manifest = serde_json::to_vec(cases).expect("a list of cases");
    fs::write(folder.join("manifest.json"), manifest).expect("can be written");
    print!("{}", judge::python("onnx_written.py", &[folder.to_str().expect("a path in UTF-8"), TOLERANCE]));
}

fn has_no_operator(op: &Op) -> bool {
    match op {
        Op::Conv2d(op) => op.clamp.is_some() || op.residual,
        Op::DepthwiseConv2d(op) => op.clamp.is_some(),
        Op::Dense(op) => op.clamp.is_some(),
        Op::BatchNorm(op) => op.clamp.is_some(),
        // The operator has no ε.
        Op::L2Normalize(op) => op.epsilon > 1e-6,
        _ => false,
    }
}

fn write(graph: &Graph) -> Result<Vec<u8>> {
    onnx::write(graph, &BTreeMap::new(), None)
}

fn read(bytes: &[u8]) -> Result<Graph> {
    Ok(onnx::read(bytes, &BTreeMap::new())?.0)
}

#[test]
fn every_op_is_written_as_others_understand_it() {
    let folder = judge::folder("onnx_written");
    let mut cases = Vec::new();
    let mut written: Vec<&str> = Vec::new();
    for (index, case) in all_cases().iter().enumerate() {
        // onnxruntime does not pad scalars.
        let scalar_pad = matches!(&case.op, Op::Pad(op) if op.before.is_empty());
        if scalar_pad || matches!(case.op, Op::Input(_) | Op::Parameter(_) | Op::Constant(_)) {
            continue;
        }
        let has_layout = layout(&mut case.op.clone()).is_some();
        for wanted in [Layout::Nhwc, Layout::Nchw].into_iter().take(1 + usize::from(has_layout)) {
            let about = format!("case {index}, {case:?}, {wanted:?}, seed {SEED}");
            let (graph, given) = graph_of(case, wanted).unwrap_or_else(|e| panic!("{about}: {e}"));
            let bytes = write(&graph);
            if has_no_operator(&case.op) || NOT_WRITTEN.contains(&case.op.name()) {
                assert!(bytes.is_err(), "{about} is written");
                continue;
            }
            let bytes = bytes.unwrap_or_else(|e| panic!("{about}: {e}"));
            assert_eq!(Format::detect(&bytes), Some(Format::Onnx), "{about}");
            let name = format!("{index}_{}_{wanted:?}", case.op.name());
            cases.push(put(&folder, &name, &graph, &bytes, &given).unwrap_or_else(|e| panic!("{about}: {e}")));
            written.push(case.op.name());
            again(&about, &graph, &bytes, &given);
        }
    }
    let all = Op::NAMES.iter().filter(|op| !matches!(**op, "input" | "parameter" | "constant"));
    let forgotten: Vec<_> = all.filter(|op| !written.contains(op) && !NOT_WRITTEN.contains(op)).collect();
    assert!(forgotten.is_empty(), "no case for {forgotten:?}");
    check(&folder, &cases);
}

/// What we wrote computes the same once it is read again.
fn again(about: &str, graph: &Graph, bytes: &[u8], given: &[Tensor]) {
    let second = read(bytes).unwrap_or_else(|e| panic!("{about}: {e}"));
    let run = |graph: &Graph| {
        let batch = given.first().map_or(1, |t| t.shape().first().copied().unwrap_or(1));
        let mut session = Session::new(graph, batch, None).unwrap_or_else(|e| panic!("{about}: {e}"));
        let names: Vec<String> = graph.inputs().iter().map(|id| graph.get(*id).name.clone()).collect();
        let values = given.iter().map(|t| t.as_f32().unwrap_or_default());
        session.run(&names.iter().map(String::as_str).zip(values).collect::<Vec<_>>()).expect("runs");
        session.tensors().expect("runs")
    };
    let (first, second) = (run(graph), run(&second));
    for ((name, y), (other_name, other)) in first.iter().zip(&second) {
        assert!(other_name.starts_with(name.as_str()) && y.shape() == other.shape(), "{about}: {other_name}");
        let error = judge::worst(y.as_f32().unwrap_or_default(), other.as_f32().unwrap_or_default());
        assert!(error <= 1e-5, "{about}: read again it is off by {error:e}");
    }
}

/// Everything but the layer a vertex is part of and its loss, which ONNX does not know; stored values may be in another place.
fn outline(graph: &Graph) -> Vec<(String, Op, TensorType, Vec<String>)> {
    let name = |id: &VertexId| graph.get(*id).name.clone();
    let computed = graph.iter().filter(|(_, v)| !v.is_stored());
    computed.map(|(_, v)| (v.name.clone(), v.op.clone(), v.ty.clone(), v.inputs.iter().map(name).collect())).collect()
}

fn stored(graph: &Graph) -> BTreeMap<String, (Op, Tensor)> {
    let values = graph.iter().filter_map(|(_, v)| Some((v, v.value.as_deref()?)));
    values.map(|(v, value)| (v.name.clone(), (v.op.clone(), value.clone()))).collect()
}

fn network(architecture: Architecture) -> Model {
    let options =
        LoadOptions { architecture: Some(architecture.name().to_owned()), seed: Some(SEED), ..LoadOptions::default() };
    Model::load(&BTreeMap::new(), &options).expect("is drawn")
}

fn image(graph: &Graph, batch: usize, range: (f32, f32)) -> Tensor {
    let mut shape = graph.get(graph.inputs()[0]).ty.shape.to_vec();
    shape[0] = batch;
    let pixels = OpCase::new(regraft::ops::Sigmoid, [&shape]).range(0, range.0, range.1).draw(SEED).remove(0);
    Tensor::f32(shape, pixels).expect("fills the shape")
}

#[test]
fn networks_come_back_as_they_were_written() {
    let folder = judge::folder("onnx_networks");
    let mut cases = Vec::new();
    for architecture in [
        Architecture::EfficientnetLite0,
        Architecture::MobilenetV2,
        Architecture::Squeezenet1_1,
        Architecture::Resnet18,
    ] {
        let name = architecture.name();
        let graph = network(architecture).graph;
        let bytes = write(&graph).expect("is written");
        let second = read(&bytes).expect("is read");
        assert_eq!(outline(&graph), outline(&second), "{name}");
        assert_eq!(stored(&graph), stored(&second), "{name}");
        let names =
            |g: &Graph, ids: &[VertexId]| -> Vec<String> { ids.iter().map(|id| g.get(*id).name.clone()).collect() };
        assert_eq!(names(&graph, graph.inputs()), names(&second, second.inputs()), "{name}");
        assert_eq!(names(&graph, graph.outputs()), names(&second, second.outputs()), "{name}");
        cases.push(put(&folder, name, &graph, &bytes, &[image(&graph, 2, (-1.0, 1.0))]).expect("runs"));
    }
    check(&folder, &cases);
}
