//! Losses of rows and their gradients in what goes into the activation.

use regraft::Result;
use regraft::graph::gradient::gradients;
use regraft::graph::{Graph, Loss, OutputLoss, VertexId};
use regraft::ops::{Activate, Clamp, Clip, Dense, Function, Op, Sigmoid, Softmax};
use regraft::tensor::TensorType;
use regraft::train::{check_loss, losses};
use serde::Deserialize;

use super::{all_agree, compiled, difference};

/// Largest difference beside the size of a value: an exponential, a logarithm and a sum of four, in f32.
const TOLERANCE: f64 = 1e-5;
/// Losses and gradients below this size cancel.
const SIZE: f64 = 0.1;

#[derive(Deserialize)]
struct Golden {
    columns: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    loss: Loss,
    activation: String,
    weights: Vec<f32>,
    x: Vec<f32>,
    targets: Vec<f32>,
    dloss: Vec<f32>,
    losses: Vec<f64>,
    gradient: Vec<f64>,
}

fn activated(g: &mut Graph, activation: &str, x: VertexId) -> Result<VertexId> {
    let op: Op = match activation {
        "softmax" => Softmax { axis: 1 }.into(),
        "sigmoid" => Sigmoid {}.into(),
        "clip" => Clip { clamp: Clamp { min: Some(0.0), max: Some(1.0) } }.into(),
        "identity" => return Ok(x),
        other => panic!("the golden has the activation {other}"),
    };
    g.add("output", op, &[x])
}

/// Losses and gradient.
fn run(case: &Case, columns: usize) -> Result<[Vec<f32>; 2]> {
    let rows = case.losses.len();
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32([rows, columns]), true)?;
    let targets = g.input("targets", TensorType::f32([rows, columns]), true)?;
    let dloss = g.input("dloss", TensorType::f32([rows]), true)?;
    let output = activated(&mut g, &case.activation, x)?;
    let loss = OutputLoss { function: case.loss, weights: case.weights.clone() };
    let value = losses(&mut g, output, targets, &loss)?;
    let dx = gradients(&mut g, &[(value, dloss)], &[x])?[0].expect("depends on x");
    let names = [value, dx].map(|id| g.get(id).name.clone());
    let mut backend = compiled(g, vec![value, dx])?;
    backend.write("x", &case.x)?;
    backend.write("targets", &case.targets)?;
    backend.write("dloss", &case.dloss)?;
    backend.run()?;
    Ok([backend.read(&names[0])?.to_vec(), backend.read(&names[1])?.to_vec()])
}

#[test]
fn losses_agree_with_keras() -> Result<()> {
    let golden: Golden = super::golden(include_str!("../../reference/losses.json"));
    let mut differences = Vec::new();
    for (index, case) in golden.cases.iter().enumerate() {
        let [losses, gradient] = run(case, golden.columns)?;
        let name = format!("case {index}, {:?} after {}, weights {:?}", case.loss, case.activation, case.weights);
        differences.push((format!("{name}, losses"), difference(&losses, &case.losses, TOLERANCE, SIZE)));
        differences.push((format!("{name}, gradient"), difference(&gradient, &case.gradient, TOLERANCE, SIZE)));
    }
    all_agree(differences);
    Ok(())
}

/// Pairs that Deeplearning4j refuses, and pairs that it does not.
#[test]
fn losses_fit_their_outputs() {
    let softmax: Op = Softmax { axis: 1 }.into();
    let sigmoid: Op = Sigmoid {}.into();
    let dense: Op = Dense { bias: true, clamp: None }.into();
    let relu: Op = Clip { clamp: Clamp::RELU }.into();
    let hard: Op = Activate { function: Function::HardSigmoid { alpha: 0.2, beta: 0.5 } }.into();
    let tanh: Op = Activate { function: Function::Tanh }.into();
    let check = |loss: Loss, op: &Op, columns| check_loss(&loss.into(), op, columns, "head");
    for (loss, op, columns) in [
        (Loss::Mcxent, &softmax, 3),
        (Loss::NegativeLogLikelihood, &softmax, 2),
        (Loss::Xent, &sigmoid, 1),
        (Loss::Xent, &hard, 3),
        (Loss::Mse, &dense, 1),
        (Loss::Mse, &sigmoid, 1),
        (Loss::Hinge, &dense, 4),
        (Loss::KlDivergence, &softmax, 4),
        (Loss::Poisson, &relu, 1),
    ] {
        assert_eq!(check(loss, op, columns), Ok(()), "{loss:?} after {op:?}");
    }
    for (loss, op, columns) in [
        (Loss::Mcxent, &softmax, 1),
        (Loss::Mse, &softmax, 1),
        (Loss::Xent, &softmax, 3),
        (Loss::Mcxent, &sigmoid, 3),
        (Loss::SparseMcxent, &sigmoid, 3),
        (Loss::NegativeLogLikelihood, &dense, 3),
        (Loss::Xent, &dense, 3),
        (Loss::Xent, &relu, 3),
        (Loss::Xent, &tanh, 3),
    ] {
        let refused = check(loss, op, columns);
        assert!(refused.is_err_and(|e| e.code() == "conflict" && e.vertex() == Some("head")), "{loss:?} after {op:?}");
    }
    for weights in [vec![1.0; 2], vec![1.0, -1.0, 1.0], vec![1.0, f32::NAN, 1.0]] {
        let loss = OutputLoss { function: Loss::Mse, weights };
        assert!(check_loss(&loss, &dense, 3, "head").is_err_and(|e| e.code() == "conflict"), "{loss:?}");
    }
}
