//! What training promises, on the random networks of the native property tests: a GPU goes where the CPU goes.

#[path = "../native/properties/data.rs"]
#[expect(dead_code, reason = "the native tests draw and compare more")]
mod data;
#[path = "../native/properties/networks.rs"]
#[expect(dead_code, reason = "the native tests edit the networks too")]
mod networks;

use std::sync::Arc;

use regraft::Result;
use regraft::backend::Device;
use regraft::backend::gpu::GpuOptions;
use regraft::data::FeatureSet;
use regraft::graph::Vertex;
use regraft::train::{BatchNormMode, FitOptions, Parameters, StoppedBy, Trainer};
use regraft::transfer::Model;
use serde_json::json;

use crate::trainer::{UPDATERS, finish, updater};
use crate::{gpu, gpu_test, worst_within};
use data::{features, raw};
use networks::{Network, edits, networks};

/// Updates after which losses and parameters are compared.
const STEPS: u64 = 20;
/// Twice what one kernel is allowed: each update starts with what rounding did to the ones before, through up to a dozen layers.
const RELATIVE: f64 = 2.0 * crate::RELATIVE;
/// The same where a parameter is small beside what it was updated by.
const ABSOLUTE: f64 = 2.0 * crate::ABSOLUTE;
/// Networks that only differ by their seed, of which a browser tries one: its shaders take long to compile.
const SEEDS: usize = networks::SEEDS.end as usize;
/// A browser also tries one of so many updaters with a network; each updater comes to two of them.
const IN_BROWSERS: usize = 4;

/// What is trained of a network: by its position all of it, or what lies above its cut, on what the rest makes of the data.
fn part(network: &Network, index: usize) -> Result<(Model, Arc<FeatureSet>)> {
    if index.is_multiple_of(3) {
        let model = network.model.edited(&edits(json!([{ "type": "setFeatureExtractor", "names": [network.cut] }])))?;
        let set = features(&model, index as u64)?;
        return Ok((Model { graph: model.split(None)?.tail, ..model }, Arc::new(set)));
    }
    Ok((network.model.clone(), Arc::new(raw(&network.model, index as u64)?)))
}

/// Losses of all updates, and what the parameters came to.
async fn trained(
    device: &Device,
    (model, set): &(Model, Arc<FeatureSet>),
    options: FitOptions,
) -> Result<(Vec<f64>, Parameters)> {
    let mut trainer = Trainer::on(device, &model.graph, &model.settings, Arc::clone(set), None, options, None)?;
    let (history, parameters) = finish(&mut trainer).await?;
    assert_eq!(history.stopped_by, StoppedBy::Iterations);
    Ok((history.iterations.iter().map(|step| step.loss).collect(), parameters))
}

/// Error of the worst value as a share of what is allowed, and what it belongs to.
fn difference(ours: &(Vec<f64>, Parameters), theirs: &(Vec<f64>, Parameters)) -> (f64, String) {
    assert_eq!((ours.0.len(), ours.1.len()), (STEPS as usize, theirs.1.len()));
    let losses: Vec<f32> = ours.0.iter().map(|loss| *loss as f32).collect();
    let mut worst = (worst_within(&losses, theirs.0.iter().copied(), RELATIVE, ABSOLUTE).0, "the losses".to_owned());
    for ((name, ours), (other, theirs)) in ours.1.iter().zip(&theirs.1) {
        assert_eq!((name, ours.shape()), (other, theirs.shape()));
        let expected = theirs.as_f32().unwrap_or_default().iter().map(|value| f64::from(*value));
        let (share, at) = worst_within(ours.as_f32().unwrap_or_default(), expected, RELATIVE, ABSOLUTE);
        if share > worst.0 {
            worst = (share, format!("'{name}', element {at}"));
        }
    }
    worst
}

gpu_test!(random_networks_train_alike_on_both_backends, alike);
async fn alike() -> Result<()> {
    let gpu = Device::Gpu(gpu(GpuOptions::default()).await);
    let mut largest = 0.0_f64;
    for (index, network) in networks().iter().enumerate() {
        if cfg!(target_arch = "wasm32") && !(index / SEEDS + index).is_multiple_of(SEEDS) {
            continue;
        }
        let part = part(network, index)?;
        let before: Vec<_> = part.0.graph.iter().filter(|(_, v)| v.is_trainable()).collect();
        for (at, name) in UPDATERS.into_iter().enumerate() {
            if cfg!(target_arch = "wasm32") && !(index + at).is_multiple_of(IN_BROWSERS) {
                continue;
            }
            let batch_norm = [BatchNormMode::Frozen, BatchNormMode::Train][(index + at) % 2];
            let options = FitOptions {
                epochs: STEPS as u32,
                max_iterations: Some(STEPS),
                batch_norm,
                updater: Some(updater(name)?),
                ..data::options()
            };
            let expected = trained(&Device::Cpu, &part, options.clone()).await?;
            let moved = |(_, v): &&(_, &Vertex)| {
                expected.1.iter().any(|(name, value)| *name == v.name && v.value.as_deref() != Some(value))
            };
            let moved = before.iter().filter(moved).count();
            assert!(
                2 * moved > before.len(),
                "{}, {name}: only {moved} of {} parameters moved",
                network.name,
                before.len()
            );
            let (share, what) = difference(&trained(&gpu, &part, options).await?, &expected);
            largest = largest.max(share);
            assert!(share <= 1.0, "{}, {name}, {batch_norm:?}: {what} is {share} of what is allowed off", network.name);
        }
    }
    assert!(largest > 0.0, "the comparison sees no rounding at all");
    Ok(())
}
