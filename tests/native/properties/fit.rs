//! Options of a run: smoothing, class weights, early stopping, the guard against divergence.

use std::collections::BTreeMap;
use std::sync::Arc;

use regraft::Result;
use regraft::data::FeatureSet;
use regraft::train::{
    Balanced, BatchNormMode, ClassWeights, EarlyStopping, FitOptions, History, Monitor, StoppedBy, Trainer, Updater,
};
use regraft::transfer::Model;
use serde_json::json;

use super::data::{features, labels, options, run, stored};
use super::networks::{CLASSES, Network, edits, networks};

/// Relative difference of a mean of f32 losses from the same mean in f64.
const LOSS_TOLERANCE: f64 = 1e-5;

fn frozen(network: &Network) -> Result<Model> {
    network.model.edited(&edits(json!([{ "type": "setFeatureExtractor", "names": [network.cut] }])))
}

/// Networks with one head.
fn single() -> Vec<Network> {
    networks().into_iter().filter(|n| n.model.graph.outputs().len() == 1).collect()
}

/// Probabilities of every row before training.
fn probabilities(model: &Model, set: &FeatureSet) -> Result<Vec<f64>> {
    let outputs = model.output_from_features(set, None)?;
    Ok(outputs[0].1.as_f32().unwrap_or_default().iter().map(|p| f64::from(*p)).collect())
}

/// Loss of the first update over all rows.
fn first_loss(model: &Model, set: &Arc<FeatureSet>, options: FitOptions) -> Result<f64> {
    let options = FitOptions { batch_size: set.count(), max_iterations: Some(1), ..options };
    Ok(run(&mut model.trainer(None, Arc::clone(set), None, options)?)?[0])
}

fn assert_close(ours: f64, expected: f64, what: &str) {
    assert!((ours - expected).abs() <= LOSS_TOLERANCE * expected.abs(), "{what}: {ours} against {expected}");
}

/// `t·(1 − ε) + ε/K` (Szegedy et al. 2016).
#[test]
fn smoothing_spreads_the_target() -> Result<()> {
    for network in single() {
        let model = frozen(&network)?;
        let set = Arc::new(features(&model, 1)?);
        let p = probabilities(&model, &set)?;
        let smooth = 0.2;
        let target = |t: f32| f64::from(t) * (1.0 - smooth) + smooth / CLASSES as f64;
        let sum: f64 = p.iter().zip(set.targets()).map(|(p, t)| -target(*t) * p.ln()).sum();
        let ours = first_loss(&model, &set, FitOptions { label_smoothing: smooth as f32, ..options() })?;
        assert_close(ours, sum / set.count() as f64, &network.name);
    }
    Ok(())
}

#[test]
fn classes_are_weighted() -> Result<()> {
    for network in single() {
        let model = frozen(&network)?;
        let set = Arc::new(features(&model, 1)?);
        let p = probabilities(&model, &set)?;
        let count = set.count() as f64;
        let counts: Vec<f64> =
            (0..CLASSES).map(|c| set.targets().chunks_exact(CLASSES).map(|row| f64::from(row[c])).sum()).collect();
        let expected = |weight: &dyn Fn(usize) -> f64| {
            let entry = |(i, (p, t)): (usize, (&f64, &f32))| -f64::from(*t) * p.ln() * weight(i % CLASSES);
            p.iter().zip(set.targets()).enumerate().map(entry).sum::<f64>() / count
        };
        let balanced = FitOptions { class_weights: Some(ClassWeights::Named(Balanced::Balanced)), ..options() };
        let weight = |c: usize| if counts[c] > 0.0 { count / (CLASSES as f64 * counts[c]) } else { 0.0 };
        assert_close(first_loss(&model, &set, balanced)?, expected(&weight), &network.name);
        let each = ClassWeights::Each(BTreeMap::from([(labels()[1].clone(), 3.0)]));
        let weighted = FitOptions { class_weights: Some(each), ..options() };
        let weight = |c: usize| if c == 1 { 3.0 } else { 1.0 };
        assert_close(first_loss(&model, &set, weighted)?, expected(&weight), &network.name);
        let unknown = ClassWeights::Each(BTreeMap::from([("nothing".to_owned(), 3.0)]));
        let refused = FitOptions { class_weights: Some(unknown), ..options() };
        let refused = model.trainer(None, Arc::clone(&set), None, refused).map(drop);
        assert_eq!(refused.map_err(|e| e.code()), Err("bad-option"), "{}", network.name);
    }
    Ok(())
}

fn trained(model: &Model, trainer: &Trainer, stopped_by: StoppedBy) -> Result<Model> {
    let mut model = model.clone();
    model.update(trainer.parameters(stopped_by)?)?;
    Ok(model)
}

/// Runs to its end and says why it ended.
fn finish(trainer: &mut Trainer) -> Result<(History, StoppedBy)> {
    loop {
        if let Some(stopped_by) = trainer.step()?.stopped_by {
            return Ok((trainer.history(stopped_by), stopped_by));
        }
    }
}

/// Training stops once no epoch improves, and what remains is the best epoch, whatever came after it.
#[test]
fn the_best_epoch_remains() -> Result<()> {
    let mut stopped_early = 0;
    for network in networks() {
        for monitor in [Monitor::ValLoss, Monitor::ValAccuracy, Monitor::Loss] {
            let model = frozen(&network)?;
            let (train, validation) = (Arc::new(features(&model, 1)?), Arc::new(features(&model, 2)?));
            let patience = 3;
            let stopping = EarlyStopping { monitor: Some(monitor), patience, ..EarlyStopping::default() };
            let start = |epochs: u32, early_stopping: Option<EarlyStopping>| {
                let options = FitOptions { epochs, early_stopping, ..options() };
                model.trainer(None, Arc::clone(&train), Some(Arc::clone(&validation)), options)
            };
            let mut trainer = start(40, Some(stopping))?;
            let (history, stopped_by) = finish(&mut trainer)?;
            let value = |epoch: &regraft::train::EpochRecord| match monitor {
                Monitor::ValLoss => epoch.val_loss.unwrap_or(f64::NAN),
                Monitor::ValAccuracy => -epoch.val_accuracy.unwrap_or(f64::NAN),
                Monitor::Loss => epoch.loss,
            };
            let best = history.epochs.iter().map(value).fold(f64::INFINITY, f64::min);
            let first = history.epochs.iter().find(|e| value(e) == best).map_or(0, |e| e.epoch);
            let what = format!("{}, {monitor:?}", network.name);
            assert_eq!(history.best_epoch, first, "{what}");
            if stopped_by == StoppedBy::EarlyStopping {
                stopped_early += 1;
                assert_eq!(history.epochs.len() as u32, first + patience, "{what}");
            }
            // The same as a run that ended with that epoch.
            let mut short = start(first, None)?;
            finish(&mut short)?;
            let expected = trained(&model, &short, StoppedBy::Epochs)?;
            assert_eq!(stored(&trained(&model, &trainer, stopped_by)?), stored(&expected), "{what}");
        }
    }
    assert!(stopped_early > 0, "no run was stopped early: the data are too easy");
    Ok(())
}

/// Without `restoreBest` the last epoch remains.
#[test]
fn the_last_epoch_remains_on_request() -> Result<()> {
    for network in single() {
        let model = frozen(&network)?;
        let (train, validation) = (Arc::new(features(&model, 1)?), Arc::new(features(&model, 2)?));
        let start = |epochs: u32, early_stopping: Option<EarlyStopping>| {
            let options = FitOptions { epochs, early_stopping, ..options() };
            model.trainer(None, Arc::clone(&train), Some(Arc::clone(&validation)), options)
        };
        let stopping = EarlyStopping { patience: 2, restore_best: false, ..EarlyStopping::default() };
        let mut trainer = start(30, Some(stopping))?;
        let (history, stopped_by) = finish(&mut trainer)?;
        let mut whole = start(history.epochs.len() as u32, None)?;
        finish(&mut whole)?;
        let expected = stored(&trained(&model, &whole, StoppedBy::Epochs)?);
        assert_eq!(stored(&trained(&model, &trainer, stopped_by)?), expected, "{}", network.name);
    }
    Ok(())
}

/// A run whose values stop being numbers ends with the last good epoch, and says where it began.
#[test]
fn divergence_is_undone() -> Result<()> {
    for network in networks() {
        // The penalty's gradient grows with the weights, so that they soon leave the range of f32.
        let model = frozen(&network)?.edited(&edits(json!([
            { "type": "fineTuneConfiguration", "configuration": { "l2": 0.01 } },
        ])))?;
        let train = Arc::new(features(&model, 1)?);
        // Good for two epochs of three updates, then far beyond all numbers.
        let rate = json!({ "type": "map", "values": { "0": 0.05, "2": 1e38 }, "per": "epoch" });
        let updater: Updater =
            serde_json::from_value(json!({ "type": "sgd", "learningRate": rate })).unwrap_or_else(|e| panic!("{e}"));
        let start = |epochs: u32| {
            let options = FitOptions { epochs, updater: Some(updater.clone()), ..options() };
            model.trainer(None, Arc::clone(&train), None, options)
        };
        let mut trainer = start(6)?;
        let (history, stopped_by) = finish(&mut trainer)?;
        assert_eq!(stopped_by, StoppedBy::Diverged, "{}: {history:?}", network.name);
        let divergence = history.divergence.unwrap_or_else(|| panic!("{}: where?", network.name));
        assert!((6..9).contains(&divergence.iteration), "{}: {divergence:?}", network.name);
        assert!(model.graph.find(&divergence.vertex).is_some(), "{}: {divergence:?}", network.name);
        let mut good = start(2)?;
        finish(&mut good)?;
        let expected = stored(&trained(&model, &good, StoppedBy::Epochs)?);
        assert_eq!(stored(&trained(&model, &trainer, stopped_by)?), expected, "{}", network.name);
    }
    Ok(())
}

/// The vertex that is named is the one whose values are no numbers.
#[test]
fn divergence_names_the_vertex() -> Result<()> {
    for network in networks() {
        let mut model = frozen(&network)?;
        let Some(id) = model.graph.find("fc.bias") else { continue };
        let mut bias = model.graph.get(id).value.as_deref().cloned().unwrap_or_else(|| panic!("a value"));
        bias.as_f32_mut().unwrap_or_default()[0] = f32::NAN;
        model.update(vec![("fc.bias".into(), bias)])?;
        let train = Arc::new(features(&model, 1)?);
        let mut trainer = model.trainer(None, train, None, options())?;
        let (history, stopped_by) = finish(&mut trainer)?;
        assert_eq!(stopped_by, StoppedBy::Diverged, "{}", network.name);
        let found = history.divergence.map(|d| (d.iteration, d.vertex));
        assert_eq!(found, Some((0, "fc".to_owned())), "{}", network.name);
    }
    Ok(())
}

/// A last batch that is smaller is a smaller batch: with the statistics of the batch, padding would be seen.
#[test]
fn the_last_batch_counts_as_it_is() -> Result<()> {
    for network in networks() {
        let mut model = frozen(&network)?;
        let all = features(&model, 1)?;
        let updater = Updater::Sgd { learning_rate: 0.05.into() };
        let options = FitOptions {
            epochs: 1,
            shuffle: false,
            updater: Some(updater),
            batch_norm: BatchNormMode::Train,
            ..options()
        };
        let epoch = |model: &Model, images: &[usize]| -> Result<Model> {
            let mut trainer = model.trainer(None, Arc::new(all.select(images)?), None, options.clone())?;
            finish(&mut trainer)?;
            trained(model, &trainer, StoppedBy::Epochs)
        };
        let whole = epoch(&model, &[0, 1, 2, 3, 4])?;
        // The same two batches, each an epoch of its own.
        for batch in [&[0, 1, 2][..], &[3, 4]] {
            model = epoch(&model, batch)?;
        }
        assert_eq!(stored(&whole), stored(&model), "{}", network.name);
    }
    Ok(())
}

/// Two heads with targets of their own, side by side.
#[test]
fn heads_have_targets_of_their_own() -> Result<()> {
    for network in networks().into_iter().filter(|n| n.model.graph.outputs().len() == 2) {
        let model = frozen(&network)?;
        let one = features(&model, 1)?;
        let names: Vec<String> = (0..2 * CLASSES).map(|c| format!("column{c}")).collect();
        let mut both =
            FeatureSet::new(one.tensors().to_vec(), one.count(), names, one.trunk_key().into(), one.dtype())?;
        for row in 0..one.count() {
            let values: Vec<f32> = (0..one.tensors().len()).flat_map(|t| one.gather(t, &[row])).collect();
            let target = &one.targets()[row * CLASSES..][..CLASSES];
            both.set_row(row, &[target, target].concat(), "row", None, &values)?;
        }
        let same = run(&mut model.trainer(None, Arc::new(one), None, options())?)?;
        let apart = run(&mut model.trainer(None, Arc::new(both), None, options())?)?;
        assert_eq!(same, apart, "{}", network.name);
    }
    Ok(())
}

/// Every epoch says how far each layer moved.
#[test]
fn updates_are_measured() -> Result<()> {
    for network in networks() {
        let model = frozen(&network)?;
        let mut trainer = model.trainer(None, Arc::new(features(&model, 1)?), None, options())?;
        let mut ended = 0;
        loop {
            let status = trainer.step()?;
            assert_eq!(status.update_ratios.is_empty(), !status.epoch_ended, "{}", network.name);
            ended += u32::from(status.epoch_ended);
            for (layer, ratio) in &status.update_ratios {
                assert!((-8.0..1.0).contains(ratio), "{}: {layer} {ratio}", network.name);
                assert!(!model.graph.get(model.graph.require(layer)?).frozen, "{}: {layer}", network.name);
            }
            if status.finished {
                break;
            }
        }
        assert_eq!(ended, options().epochs, "{}", network.name);
    }
    Ok(())
}
