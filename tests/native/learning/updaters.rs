//! Twenty updates by every updater, and schedules.

use regraft::graph::Graph;
use regraft::ops::Role;
use regraft::tensor::{Tensor, TensorType};
use regraft::train::{Schedule, Updater, decayed};
use regraft::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{all_agree, compiled, difference};

/// Largest difference of a weight, beside 1: twenty updates of a few roundings each on values around 1, the golden is f64.
const TOLERANCE: f64 = 1e-5;
/// Largest relative difference of a schedule: Keras computes them in f32, and a power of 100 multiplies its rounding.
const SCHEDULE_TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    start: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    updaters: Vec<UpdaterCase>,
    at: Vec<u64>,
    schedules: Vec<ScheduleCase>,
}

#[derive(Deserialize)]
struct UpdaterCase {
    updater: Value,
    weights: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct ScheduleCase {
    schedule: Value,
    values: Vec<f64>,
}

fn golden() -> Golden {
    super::golden(include_str!("../../reference/updaters.json"))
}

fn updater(json: &Value) -> Result<Updater> {
    let parsed = serde_json::from_value::<Updater>(json.clone());
    let updater = parsed.map_err(|e| Error::BadOption { option: "updater", reason: format!("{json}: {e}") })?;
    updater.validate()?;
    Ok(updater)
}

/// The weights after each update.
fn run(updater: &Updater, golden: &Golden) -> Result<Vec<Vec<f32>>> {
    let ty = TensorType::f32([golden.start.len()]);
    let mut g = Graph::new();
    let w = g.parameter("w", Role::Weight, Tensor::f32([golden.start.len()], golden.start.clone())?)?;
    let dw = g.input("dw", ty.clone(), false)?;
    let Some(op) = updater.op() else { return Ok(vec![golden.start.clone(); golden.gradients.len()]) };
    let scalars = g.input("scalars", TensorType::f32([updater.scalars(0, 0).len()]), false)?;
    let mut inputs = vec![w];
    if let Some(decay) = updater.weight_decay() {
        inputs[0] = decayed(&mut g, w, scalars, decay as f32)?;
    }
    for state in 1..op.updates() {
        inputs.push(g.input(format!("state{state}"), ty.clone(), false)?);
    }
    inputs.extend([dw, scalars]);
    let states = 1..op.updates();
    let updated = g.add("updated", op, &inputs)?;
    let mut backend = compiled(g, vec![updated])?;
    for state in states {
        backend.write(&format!("state{state}"), &vec![updater.initial_state(state); golden.start.len()])?;
    }
    let mut weights = Vec::new();
    for (iteration, gradient) in (0..).zip(&golden.gradients) {
        backend.write("dw", gradient)?;
        backend.write("scalars", &updater.scalars(iteration, 0))?;
        backend.run()?;
        weights.push(backend.read("w")?.to_vec());
    }
    Ok(weights)
}

#[test]
fn updaters_agree_with_keras_and_the_formulas() -> Result<()> {
    let golden = golden();
    let mut differences = Vec::new();
    for case in &golden.updaters {
        let ours = run(&updater(&case.updater)?, &golden)?;
        assert_eq!((ours.len(), case.weights.len()), (20, 20), "updates");
        let mut steps = ours.iter().zip(&case.weights).enumerate();
        let first = steps.find_map(|(step, (ours, theirs))| Some((step, difference(ours, theirs, TOLERANCE, 1.0)?)));
        differences.push((case.updater.to_string(), first.map(|(step, what)| format!("after update {step}: {what}"))));
    }
    all_agree(differences);
    Ok(())
}

/// Weights that are not touched would pass with any tolerance above their steps.
#[test]
fn the_golden_moves_more_than_the_tolerance() {
    let golden = golden();
    for case in golden.updaters.iter().filter(|case| case.updater["type"] != "noop") {
        let last = case.weights.last().map_or(&[][..], Vec::as_slice);
        let moved = last.iter().zip(&golden.start).map(|(w, start)| (w - f64::from(*start)).abs()).fold(0.0, f64::max);
        assert!(moved > 100.0 * TOLERANCE, "{}: {moved}", case.updater);
    }
}

#[test]
fn the_learning_rate_is_the_first_scalar() -> Result<()> {
    for case in golden().updaters {
        let updater = updater(&case.updater)?;
        for (iteration, epoch) in [(0, 0), (7, 1), (100_000, 50)] {
            let scalars = updater.scalars(iteration, epoch);
            assert_eq!(scalars.first(), Some(&(updater.learning_rate(iteration, epoch) as f32)), "{updater:?}");
            assert!(scalars.iter().all(|s| s.is_finite()), "{updater:?}: {scalars:?}");
            assert_eq!(scalars.len(), updater.scalars(0, 0).len(), "{updater:?}");
        }
    }
    Ok(())
}

#[test]
fn updaters_survive_json() -> Result<(), serde_json::Error> {
    for case in golden().updaters {
        let updater: Updater = serde_json::from_value(case.updater)?;
        assert_eq!(serde_json::from_str::<Updater>(&serde_json::to_string(&updater)?)?, updater);
    }
    Ok(())
}

#[test]
fn values_out_of_range_are_refused() {
    let growing = json!({ "type": "exponential", "initial": 0.5, "gamma": 1.1 });
    for wrong in [
        json!({ "type": "sgd", "learningRate": -0.1 }),
        json!({ "type": "sgd", "rate": 0.1 }),
        json!({ "type": "sgd", "learningRate": { "type": "fixed" } }),
        json!({ "type": "sgd", "learningRate": { "type": "fixed", "value": -1 } }),
        json!({ "type": "sgd", "learningRate": { "type": "map", "values": { "3": 0.1 } } }),
        json!({ "type": "sgd", "learningRate": { "type": "map", "values": { "x": 0.1 } } }),
        json!({ "type": "sgd", "learningRate": { "type": "ramp", "length": 0, "then": { "type": "fixed", "value": 1 } } }),
        json!({ "type": "nesterovs", "momentum": 1 }),
        json!({ "type": "nesterovs", "momentum": growing }),
        json!({ "type": "adam", "beta1": 1 }),
        json!({ "type": "adam", "beta2": 0.999_999_999_9 }),
        json!({ "type": "nadam", "epsilon": 0 }),
        json!({ "type": "adamw", "weightDecay": -1 }),
        json!({ "type": "rmsprop", "decay": -0.1 }),
        json!({ "type": "adadelta", "learningRate": 1 }),
        json!({ "type": "noop", "learningRate": 1 }),
        json!({ "type": "adagrad", "epsilon": 1e-60 }),
    ] {
        assert!(updater(&wrong).is_err_and(|e| e.code() == "bad-option"), "{wrong} is accepted");
    }
}

#[test]
fn schedules_agree_with_keras_and_the_formulas() -> Result<(), serde_json::Error> {
    let golden = golden();
    let mut differences = Vec::new();
    for case in &golden.schedules {
        let schedule: Schedule = serde_json::from_value(case.schedule.clone())?;
        assert_eq!(schedule.validate("learningRate"), Ok(()), "{schedule:?}");
        let per_iteration = |i: u64| schedule.at(i, 3);
        let mut json = case.schedule.clone();
        let has_epochs = !["fixed", "ramp", "cycle"].contains(&json["type"].as_str().unwrap_or_default());
        if has_epochs {
            json["per"] = "epoch".into();
        }
        let by_epoch: Schedule = serde_json::from_value(json)?;
        let per_epoch = |i: u64| if has_epochs { by_epoch.at(77, i as u32) } else { schedule.at(i, 3) };
        for (&i, theirs) in golden.at.iter().zip(&case.values) {
            for (what, ours) in [("iteration", per_iteration(i)), ("epoch", per_epoch(i))] {
                let close = (ours - theirs).abs() <= SCHEDULE_TOLERANCE * theirs.abs();
                let difference = (!close).then(|| format!("{ours}, the golden {theirs}"));
                differences.push((format!("{} at {what} {i}", case.schedule), difference));
            }
        }
    }
    all_agree(differences);
    Ok(())
}
