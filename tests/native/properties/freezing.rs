//! Frozen is frozen, and featurising is the same as not featurising.

use std::sync::Arc;

use regraft::Result;
use regraft::backend::Session;
use regraft::data::FeatureSet;
use regraft::ops::Op;
use regraft::tensor::Tensor;
use regraft::train::{BatchNormMode, FitOptions, StoppedBy, Trainer, Updater};
use regraft::transfer::Model;
use serde_json::json;

use super::data::{changed, features, fitted, options, raw, reloaded, run, stored};
use super::networks::{Network, edits, networks};

fn frozen(network: &Network) -> Model {
    let edits = edits(json!([{ "type": "setFeatureExtractor", "names": [network.cut] }]));
    network.model.edited(&edits).unwrap_or_else(|e| panic!("{}: {e}", network.name))
}

/// Names of frozen vertices that are no stored values.
fn frozen_names(model: &Model) -> Vec<String> {
    model.graph.iter().filter(|(_, v)| v.frozen && !v.is_stored()).map(|(_, v)| v.name.clone()).collect()
}

/// PT2: whatever trains the rest, frozen tensors keep every bit, running statistics of frozen batch norms too.
#[test]
fn frozen_tensors_keep_every_bit() -> Result<()> {
    let updaters =
        ["sgd", "nesterovs", "adam", "amsgrad", "adamax", "nadam", "adamw", "adagrad", "rmsprop", "adadelta", "noop"];
    let extras = [
        json!({}),
        json!({ "l1": 0.1, "l2": 0.1, "l1Bias": 0.1, "l2Bias": 0.1 }),
        json!({ "weightDecay": 0.1, "gradientNormalization": { "type": "clip_l2_global", "threshold": 0.1 } }),
        json!({ "constraints": [{ "type": "max_norm", "max": 0.1 }], "dropout": 0.5 }),
        json!({ "gradientNormalization": { "type": "renormalize_l2_per_layer" }, "constraints": [{ "type": "unit_norm" }] }),
    ];
    for network in networks() {
        for (index, updater) in updaters.iter().enumerate() {
            // Every updater and every extra meets every kind of network, not every pair of them every seed.
            let mut configuration = extras[index % extras.len()].clone();
            configuration["updater"] = json!({ "type": updater });
            let what = format!("{}, {configuration}", network.name);
            let model = network.model.edited(&edits(json!([
                { "type": "setFeatureExtractor", "names": [network.cut] },
                { "type": "fineTuneConfiguration", "configuration": configuration },
            ])))?;
            let mode = [BatchNormMode::Frozen, BatchNormMode::Train][index % 2];
            let options = FitOptions { updater: None, batch_norm: mode, ..options() };
            let (trained, _) = fitted(&model, options)?;
            for name in changed(&model, &trained) {
                let id = model.graph.require(&name)?;
                assert!(!model.graph.get(id).frozen, "{what}: '{name}' is frozen and changed");
            }
            // Nor where the frozen part is trained through.
            let options = || FitOptions { updater: None, batch_norm: mode, epochs: 1, ..super::data::options() };
            let data = Arc::new(raw(&model, 1)?);
            let mut through = Trainer::new(&model.graph, &model.settings, data, None, options(), None)?;
            run(&mut through)?;
            for (name, _) in through.parameters(StoppedBy::Epochs)? {
                let id = model.graph.require(&name)?;
                assert!(!model.graph.get(id).frozen, "{what}: '{name}' is frozen and trained");
            }
            let moved = changed(&model, &trained).contains(&"head1.weight".to_owned());
            assert_eq!(moved, *updater != "noop", "{what}: the head");
        }
    }
    Ok(())
}

/// PT3: the frozen set is the named vertices with their ancestors.
#[test]
fn named_vertices_and_their_ancestors_are_frozen() -> Result<()> {
    for network in networks() {
        let model = frozen(&network);
        let graph = &model.graph;
        let mut expected = vec![network.cut.to_owned()];
        let mut at = 0;
        while at < expected.len() {
            let vertex = graph.get(graph.require(&expected[at])?);
            for input in vertex.inputs.iter().map(|i| graph.get(*i)).filter(|v| !v.is_stored()) {
                if !expected.contains(&input.name) {
                    expected.push(input.name.clone());
                }
            }
            at += 1;
        }
        expected.sort();
        let mut found = frozen_names(&model);
        found.sort();
        assert_eq!(found, expected, "{}", network.name);
        for (_, vertex) in graph.iter().filter(|(_, v)| v.is_stored()) {
            let readers = graph.iter().filter(|(_, v)| v.inputs.iter().any(|i| graph.get(*i).name == vertex.name));
            let all_frozen = readers.into_iter().all(|(_, v)| v.frozen);
            assert_eq!(vertex.frozen, all_frozen, "{}: parameter '{}'", network.name, vertex.name);
        }
        // Two calls add up.
        let twice = network.model.edited(&edits(json!([
            { "type": "setFeatureExtractor", "names": [network.cut] },
            { "type": "setFeatureExtractor", "names": [network.layer] },
        ])))?;
        assert_eq!(twice.graph, graph.clone(), "{}", network.name);
    }
    Ok(())
}

/// PT4: training on the features is training through the frozen part, loss by loss and bit by bit.
#[test]
fn training_on_features_is_training_through_the_trunk() -> Result<()> {
    for network in networks() {
        for mode in [BatchNormMode::Frozen, BatchNormMode::Train] {
            let model = frozen(&network);
            let options = || FitOptions { batch_norm: mode, ..options() };
            let mut on_features = model.trainer(None, Arc::new(features(&model, 1)?), None, options())?;
            let data = Arc::new(raw(&model, 1)?);
            let mut on_inputs = Trainer::new(&model.graph, &model.settings, data, None, options(), None)?;
            let (ours, theirs) = (run(&mut on_features)?, run(&mut on_inputs)?);
            assert_eq!(bits(&ours), bits(&theirs), "{}, {mode:?}: {ours:?} against {theirs:?}", network.name);
            let mut through = on_inputs.parameters(StoppedBy::Epochs)?;
            through.sort_by(|a, b| a.0.cmp(&b.0));
            let mut cached = on_features.parameters(StoppedBy::Epochs)?;
            cached.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(cached, through, "{}, {mode:?}", network.name);
        }
    }
    Ok(())
}

fn bits(losses: &[f64]) -> Vec<u64> {
    losses.iter().map(|loss| loss.to_bits()).collect()
}

/// PT5: features are the boundary's values in inference, survive their file, and know their trunk.
#[test]
fn features_are_boundary_values() -> Result<()> {
    for network in networks() {
        let model = frozen(&network);
        let split = model.split(None)?;
        let set = features(&model, 1)?;
        let (inputs, _) = super::data::drawn(&model.graph, 1)?;
        let names: Vec<String> = split.boundary.clone();
        let values = model.run(&inputs, Some(&names))?;
        for (index, (name, expected)) in values.iter().enumerate() {
            let rows: Vec<usize> = (0..set.count()).collect();
            assert_eq!(set.gather(index, &rows), expected.as_f32().unwrap_or_default(), "{}: '{name}'", network.name);
        }
        let again = FeatureSet::load(&set.save()?)?;
        assert_eq!(again, set, "{}", network.name);

        let key = model.trunk_key(&split)?;
        assert_eq!(set.trunk_key(), key);
        let mut other = model.clone();
        other.preprocessing.crop_fraction /= 2.0;
        assert_ne!(other.trunk_key(&split)?, key, "{}: preprocessing", network.name);
        let elsewhere =
            model.split(Some(&["fc_act".to_owned()])).or_else(|_| model.split(Some(&["flat".to_owned()])))?;
        assert_ne!(model.trunk_key(&elsewhere)?, key, "{}: boundary", network.name);
        let mut weights = network.model.clone();
        nudge(&mut weights, network.layer);
        let weights = weights.edited(&edits(json!([{ "type": "setFeatureExtractor", "names": [network.cut] }])))?;
        assert_ne!(weights.trunk_key(&weights.split(None)?)?, key, "{}: weights", network.name);
        let stale = weights.trainer(None, Arc::new(set), None, options());
        assert_eq!(stale.map(drop).map_err(|e| e.code()), Err("stale-features"), "{}", network.name);
    }
    Ok(())
}

/// Another value for one weight of a layer.
fn nudge(model: &mut Model, layer: &str) {
    let name = format!("{layer}.weight");
    let found = model.graph.find(&name).map(|id| model.graph.get(id)).and_then(|v| v.value.clone());
    let mut value = (*found.unwrap_or_else(|| panic!("'{name}' has a value"))).clone();
    value.as_f32_mut().unwrap_or_default()[0] += 1.0;
    model.update(vec![(name, value)]).unwrap_or_else(|e| panic!("{e}"));
}

/// PT12: frozen, written, read, unfrozen in part, trained: exactly that part changes (the page's example C).
#[test]
fn what_is_unfrozen_trains() -> Result<()> {
    for network in networks() {
        // Frozen as far as it goes, then all but what lies above the cut again.
        let last = network.model.graph.outputs()[0];
        let above = network.model.graph.get(network.model.graph.get(last).inputs[0]).inputs[0];
        let top = network.model.graph.get(above).name.clone();
        let all = network.model.edited(&edits(json!([{ "type": "setFeatureExtractor", "names": [top] }])))?;
        let read = reloaded(&all)?;
        assert_eq!(frozen_names(&read), frozen_names(&all), "{}: flags survive the file", network.name);
        let model = read.edited(&edits(json!([
            { "type": "unfreeze", "names": [] },
            { "type": "setFeatureExtractor", "names": [network.cut] },
        ])))?;
        assert_eq!(frozen_names(&model), frozen_names(&frozen(&network)), "{}", network.name);
        let (trained, _) = fitted(&model, options())?;
        let expected: Vec<String> =
            model.graph.iter().filter(|(_, v)| v.is_trainable()).map(|(_, v)| v.name.clone()).collect();
        let mut changed = changed(&model, &trained);
        let mut expected = expected;
        expected.sort();
        changed.sort();
        assert_eq!(changed, expected, "{}", network.name);
    }
    Ok(())
}

/// Unfreezing a vertex unfreezes what depends on it, and nothing else.
#[test]
fn unfreezing_follows_the_data() -> Result<()> {
    for network in networks() {
        let model = network.model.edited(&edits(json!([{ "type": "setFeatureExtractor", "names": ["head1"] }])))?;
        let thawed = model.edited(&edits(json!([{ "type": "unfreeze", "names": [network.cut] }])))?;
        let graph = &thawed.graph;
        let marked = graph.iter().map(|(_, v)| v.name == network.cut).collect();
        let descendants = graph.descendants(marked);
        for (id, vertex) in graph.iter().filter(|(_, v)| !v.is_stored()) {
            let was = model.graph.get(model.graph.require(&vertex.name)?).frozen;
            assert_eq!(vertex.frozen, was && !descendants[id.index()], "{}: '{}'", network.name, vertex.name);
        }
    }
    Ok(())
}

/// PT13: a frozen layer above a trained one passes the gradient on and stays; that is the same as a rate of 0.
#[test]
fn gradients_pass_through_frozen_layers() -> Result<()> {
    for network in networks() {
        let Some([layer, input]) = network.middle else { continue };
        let model = under_frozen(&network, layer, input)?;
        let data = Arc::new(raw(&model, 2)?);
        let mut trainer = Trainer::new(&model.graph, &model.settings, Arc::clone(&data), None, options(), None)?;
        let losses = run(&mut trainer)?;
        let mut trained = model.clone();
        trained.update(trainer.parameters(StoppedBy::Epochs)?)?;
        let moved = changed(&model, &trained);
        assert!(moved.contains(&format!("{layer}.weight")), "{}: {moved:?}", network.name);
        for name in &moved {
            assert!(!model.graph.get(model.graph.require(name)?).frozen, "{}: '{name}' moved", network.name);
        }

        // The same network without freezing, where the updater of what was frozen does nothing.
        let mut rate0 = model.edited(&edits(json!([{ "type": "unfreeze", "names": [] }])))?;
        for row in rate0.graph.summary()?.into_iter().filter(|row| row.parameters > 0) {
            let was_frozen = model.graph.get(model.graph.require(&row.name)?).frozen;
            let updater = if was_frozen { Updater::Noop {} } else { options().updater.unwrap_or_default() };
            rate0.settings.entry(row.name).or_default().updater = Some(updater);
        }
        let options = FitOptions { updater: None, ..options() };
        let mut trainer = Trainer::new(&rate0.graph, &rate0.settings, data, None, options, None)?;
        for (ours, theirs) in run(&mut trainer)?.into_iter().zip(losses) {
            let close = (ours - theirs).abs() <= FOLDED_TOLERANCE * theirs;
            assert!(close, "{}: {ours} against {theirs}", network.name);
        }
    }
    Ok(())
}

/// Relative difference of losses where a frozen batch norm is folded into the convolution before it, and where it is not.
const FOLDED_TOLERANCE: f64 = 1e-5;

/// The network frozen but for a new layer that frozen ones read, and the heads.
fn under_frozen(network: &Network, layer: &str, input: &str) -> Result<Model> {
    let last = input_of_head(network);
    let frozen = network.model.edited(&edits(json!([{ "type": "setFeatureExtractor", "names": [last] }])))?;
    let graph = &network.model.graph;
    let old = graph.get(graph.require(&format!("{layer}.weight"))?).ty.shape.clone();
    let n_out = old[old.rank() - 1];
    let new = match old.rank() {
        4 => json!({ "type": "conv2d", "nOut": n_out, "kernelSize": 3, "padding": "same" }),
        _ => json!({ "type": "dense", "nOut": n_out }),
    };
    frozen.edited(&edits(json!([
        { "type": "removeVertexKeepConnections", "name": layer },
        { "type": "addLayer", "name": layer, "layer": new, "inputs": [input] },
    ])))
}

/// Step of a central difference of an f32 loss, and what its rounding and curvature leave of the derivative.
const STEP: f32 = 2e-3;
const DIFFERENCE_TOLERANCE: f64 = 3e-2;

/// PT13: the gradient of a layer under frozen ones is the derivative of the loss.
#[test]
fn gradients_under_frozen_layers_are_derivatives() -> Result<()> {
    for network in networks() {
        let Some([layer, input]) = network.middle else { continue };
        let model = under_frozen(&network, layer, input)?;
        let data = Arc::new(raw(&model, 2)?);
        let name = format!("{layer}.weight");
        let one = |updater: Updater| FitOptions {
            max_iterations: Some(1),
            batch_size: data.count(),
            updater: Some(updater),
            ..options()
        };
        let loss = |model: &Model| -> Result<(f64, Vec<f32>)> {
            let options = one(Updater::Sgd { learning_rate: 1.0.into() });
            let mut trainer = Trainer::new(&model.graph, &model.settings, Arc::clone(&data), None, options, None)?;
            let losses = run(&mut trainer)?;
            let after = trainer.parameters(StoppedBy::Iterations)?;
            let after = after.into_iter().find(|(other, _)| *other == name).map(|(_, value)| value);
            Ok((losses[0], after.and_then(|v| v.as_f32().map(<[f32]>::to_vec)).unwrap_or_default()))
        };
        let before = stored_value(&model, &name);
        let (_, after) = loss(&model)?;
        let gradient: Vec<f32> = before.iter().zip(&after).map(|(before, after)| before - after).collect();
        let norm = gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        let along = |step: f32| -> Result<f64> {
            let mut moved = model.clone();
            let scaled = before.iter().zip(&gradient).map(|(w, g)| w + step * g / norm as f32).collect();
            let shape = model.graph.get(model.graph.require(&name)?).ty.shape.clone();
            moved.update(vec![(name.clone(), Tensor::f32(shape, scaled)?)])?;
            Ok(loss(&moved)?.0)
        };
        let difference = (along(STEP)? - along(-STEP)?) / f64::from(2.0 * STEP);
        let relative = (difference - norm).abs() / norm.max(1e-3);
        assert!(relative <= DIFFERENCE_TOLERANCE, "{}: {difference} against {norm}", network.name);
    }
    Ok(())
}

fn stored_value(model: &Model, name: &str) -> Vec<f32> {
    let value = model.graph.find(name).and_then(|id| model.graph.get(id).value.clone());
    value.and_then(|v| v.as_f32().map(<[f32]>::to_vec)).unwrap_or_else(|| panic!("'{name}' has a value"))
}

/// PT14: the same seed gives the same model, another one another.
#[test]
fn a_seed_decides_everything() -> Result<()> {
    for network in networks() {
        let built = |seed: u64| {
            network.model.edited(&edits(json!([
                { "type": "setFeatureExtractor", "names": [network.cut] },
                { "type": "fineTuneConfiguration", "configuration": { "seed": seed, "dropout": 0.3 } },
                { "type": "removeVertexKeepConnections", "name": "head1" },
                { "type": "addLayer", "name": "head1", "inputs": [input_of_head(&network)],
                  "layer": { "type": "output", "nOut": 3, "loss": "mcxent" } },
            ])))
        };
        let trained =
            |seed: u64| -> Result<Model> { Ok(fitted(&built(seed)?, FitOptions { seed: None, ..options() })?.0) };
        assert_ne!(stored(&built(7)?), stored(&built(8)?), "{}: first weights", network.name);
        assert_eq!(stored(&trained(7)?), stored(&trained(7)?), "{}", network.name);
        assert_ne!(stored(&trained(7)?), stored(&trained(8)?), "{}", network.name);
    }
    Ok(())
}

/// What the first head reads.
fn input_of_head(network: &Network) -> String {
    let graph = &network.model.graph;
    let mut at = graph.outputs()[0];
    while graph.get(at).name == "head1" || graph.get(at).layer.as_deref() == Some("head1") {
        at = graph.get(at).inputs[0];
    }
    graph.get(at).name.clone()
}

/// Dropout is off in a frozen part, so that features do not depend on chance.
#[test]
fn a_frozen_dropout_drops_nothing() -> Result<()> {
    for network in networks().into_iter().filter(|n| n.name.starts_with("chain")) {
        let model = network.model.edited(&edits(json!([
            { "type": "removeVertexKeepConnections", "name": "relu1" },
            { "type": "addLayer", "name": "relu1", "inputs": ["conv1"], "layer": { "type": "dropout", "dropout": 0.5 } },
            { "type": "setFeatureExtractor", "names": ["relu1"] },
        ])))?;
        assert!(model.graph.iter().any(|(_, v)| matches!(v.op, Op::Dropout(_)) && v.frozen));
        let data = Arc::new(raw(&model, 1)?);
        let mut trainer = Trainer::new(&model.graph, &model.settings, data, None, options(), None)?;
        let mut cached = model.trainer(None, Arc::new(features(&model, 1)?), None, options())?;
        assert_eq!(bits(&run(&mut trainer)?), bits(&run(&mut cached)?), "{}", network.name);
        // And the session drops nothing either.
        let mut session = Session::new(&model.graph, 1, None)?;
        let (inputs, _) = super::data::drawn(&model.graph, 1)?;
        let len = inputs[0].1.shape()[1..].iter().product::<usize>();
        session.run(&[(inputs[0].0.as_str(), &inputs[0].1.as_f32().unwrap_or_default()[..len])])?;
    }
    Ok(())
}
