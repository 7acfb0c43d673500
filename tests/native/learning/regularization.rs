//! Penalties, gradient normalisation, constraints.

use std::collections::BTreeMap;

use regraft::Result;
use regraft::graph::Graph;
use regraft::ops::Role;
use regraft::tensor::{Tensor, TensorType};
use regraft::train::{Constraint, GradientNormalization, constrained, normalized, penalized};
use serde::Deserialize;

use super::{all_agree, compiled, difference};

/// Largest difference beside the size of a value: a sum of up to 72 squares, a root and a product, in f32.
const TOLERANCE: f64 = 1e-6;
/// Values below this size are judged by their difference.
const SIZE: f64 = 1e-2;

#[derive(Deserialize)]
struct Golden {
    layers: Vec<Vec<Values>>,
    normalizations: Vec<NormalizationCase>,
    w: Vec<f32>,
    penalties: Vec<PenaltyCase>,
    weights: BTreeMap<String, Values>,
    constraints: Vec<ConstraintCase>,
}

#[derive(Deserialize)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct NormalizationCase {
    normalization: GradientNormalization,
    gradients: Vec<Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct PenaltyCase {
    l1: f32,
    l2: f32,
    gradient: Vec<f64>,
}

#[derive(Deserialize)]
struct ConstraintCase {
    constraint: Constraint,
    weights: BTreeMap<String, Vec<f64>>,
}

fn golden() -> Golden {
    super::golden(include_str!("../../reference/regularization.json"))
}

fn parameter(g: &mut Graph, name: &str, values: &Values) -> Result<regraft::graph::VertexId> {
    g.parameter(name, Role::Weight, Tensor::f32(values.shape.clone(), values.values.clone())?)
}

#[test]
fn gradients_are_normalised_as_tensorflow_does() -> Result<()> {
    let golden = golden();
    let mut differences = Vec::new();
    for case in &golden.normalizations {
        case.normalization.validate()?;
        let mut g = Graph::new();
        let mut layers = Vec::new();
        for (l, layer) in golden.layers.iter().enumerate() {
            let mut pairs = Vec::new();
            for (p, values) in layer.iter().enumerate() {
                let w = parameter(&mut g, &format!("w{l}{p}"), values)?;
                pairs.push((w, g.input(format!("dw{l}{p}"), TensorType::f32(values.shape.clone()), false)?));
            }
            layers.push(pairs);
        }
        let result = normalized(&mut g, &layers, &case.normalization)?;
        for (before, after) in layers.iter().flatten().zip(result.iter().flatten()) {
            assert_eq!(before.0, after.0, "the weights of a gradient");
        }
        let names: Vec<Vec<String>> =
            result.iter().map(|layer| layer.iter().map(|(_, dw)| g.get(*dw).name.clone()).collect()).collect();
        let mut backend = compiled(g, result.into_iter().flatten().map(|(_, dw)| dw).collect())?;
        for (l, layer) in golden.layers.iter().enumerate() {
            for (p, values) in layer.iter().enumerate() {
                backend.write(&format!("dw{l}{p}"), &values.values)?;
            }
        }
        backend.run()?;
        for (l, layer) in case.gradients.iter().enumerate() {
            for (p, theirs) in layer.iter().enumerate() {
                let name = format!("{:?}, layer {l}, gradient {p}", case.normalization);
                differences.push((name, difference(backend.read(&names[l][p])?, theirs, TOLERANCE, SIZE)));
            }
        }
    }
    all_agree(differences);
    Ok(())
}

#[test]
fn penalties_have_the_gradients_of_keras() -> Result<()> {
    let golden = golden();
    let mut differences = Vec::new();
    let w = Values { shape: vec![4, 3], values: golden.w.clone() };
    for case in &golden.penalties {
        let mut g = Graph::new();
        let (w, dw) = (parameter(&mut g, "w", &w)?, g.input("dw", TensorType::f32([4, 3]), false)?);
        let result = penalized(&mut g, w, dw, case.l1, case.l2)?;
        let name = g.get(result).name.clone();
        let mut backend = compiled(g, vec![result])?;
        let before: Vec<f32> = (0..12).map(|i| i as f32 * 0.25 - 1.0).collect();
        backend.write("dw", &before)?;
        backend.run()?;
        let theirs: Vec<f64> = case.gradient.iter().zip(&before).map(|(g, dw)| g + f64::from(*dw)).collect();
        let ours = backend.read(&name)?;
        differences.push((format!("l1 {}, l2 {}", case.l1, case.l2), difference(ours, &theirs, TOLERANCE, SIZE)));
    }
    all_agree(differences);
    Ok(())
}

#[test]
fn no_penalty_adds_nothing() -> Result<()> {
    let mut g = Graph::new();
    let dw = g.input("dw", TensorType::f32([4, 3]), false)?;
    assert_eq!(penalized(&mut g, dw, dw, 0.0, 0.0)?, dw);
    Ok(())
}

#[test]
fn constraints_project_as_keras_does() -> Result<()> {
    let golden = golden();
    let mut differences = Vec::new();
    for case in &golden.constraints {
        case.constraint.validate()?;
        for (layer, values) in &golden.weights {
            let mut g = Graph::new();
            let w = parameter(&mut g, "w", values)?;
            let result = constrained(&mut g, w, &case.constraint)?;
            let mut backend = compiled(g, vec![result])?;
            backend.run()?;
            let name = format!("{:?} on {layer}", case.constraint);
            differences.push((name, difference(backend.read("w")?, &case.weights[layer], TOLERANCE, SIZE)));
        }
    }
    all_agree(differences);
    Ok(())
}
