//! The mathematics of training against Keras, TensorFlow and the published formulas: updaters, schedules, losses, penalties,
//! gradient normalisation, constraints. Goldens are made by the scripts in tests/reference.

mod losses;

mod regularization;

mod updaters;

use regraft::Result;
use regraft::backend::{Backend, Device};
use regraft::graph::{Graph, VertexId};
use regraft::plan::Plan;
use serde::de::DeserializeOwned;

fn golden<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("golden: {e}"))
}

/// Compiles a graph whose outputs are the given vertices.
fn compiled(mut g: Graph, outputs: Vec<VertexId>) -> Result<Backend> {
    g.set_outputs(outputs);
    Backend::new(Plan::new(&g, None)?, &Device::Cpu)
}

/// What is wrong with values that differ from the expected ones by more than `tolerance` of the larger of their size and `size`.
fn difference(ours: &[f32], theirs: &[f64], tolerance: f64, size: f64) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("{} values, the golden has {}", ours.len(), theirs.len()));
    }
    let pairs = ours.iter().zip(theirs).enumerate();
    // Written so that NaN is a difference.
    let wrong = |(_, (ours, theirs)): &(usize, (&f32, &f64))| {
        let close = (f64::from(**ours) - **theirs).abs() <= tolerance * theirs.abs().max(size);
        !close
    };
    pairs.clone().find(wrong).map(|(at, (ours, theirs))| format!("element {at} is {ours}, the golden {theirs}"))
}

/// Fails with all differences that cases have, by their names.
fn all_agree(differences: impl IntoIterator<Item = (String, Option<String>)>) {
    let mut count = 0;
    let found: Vec<String> = differences
        .into_iter()
        .inspect(|_| count += 1)
        .filter_map(|(name, difference)| Some(format!("{name}: {}", difference?)))
        .collect();
    assert!(count > 0, "no cases");
    assert!(found.is_empty(), "{} of {count} cases differ:\n{}", found.len(), found.join("\n"));
}
