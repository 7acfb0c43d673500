//! What is written comes back, and a run that was interrupted goes on as if it had not been (PT11).

use std::sync::Arc;

use regraft::Result;
use regraft::formats::Format;
use regraft::train::{BatchNormMode, Checkpoint, EarlyStopping, FitOptions, StoppedBy, Trainer};
use regraft::transfer::{ExportOptions, Model};
use serde_json::json;

use super::data::{drawn, features, options, reloaded, run, stored};
use super::networks::{Network, edits, networks};

fn model(network: &Network) -> Result<Model> {
    let updater =
        json!({ "type": "adam", "learningRate": { "type": "step", "initial": 0.05, "decayRate": 0.5, "step": 2 } });
    network.model.edited(&edits(json!([
        { "type": "setFeatureExtractor", "names": [network.cut] },
        { "type": "fineTuneConfiguration",
          "configuration": { "updater": updater, "dropout": 0.2, "l2": 0.01, "l1": null, "seed": 11 } },
        { "type": "setLabels", "labels": ["class0", "class1", "class2"] },
    ])))
}

#[test]
fn a_file_keeps_the_model() -> Result<()> {
    for network in networks() {
        let model = model(&network)?;
        let again = reloaded(&model)?;
        assert_eq!(again.graph, model.graph, "{}", network.name);
        assert_eq!(again.settings, model.settings, "{}", network.name);
        assert_eq!(again.configuration, model.configuration, "{}", network.name);
        assert_eq!(again.labels, model.labels, "{}", network.name);
        assert_eq!(again.preprocessing, model.preprocessing, "{}", network.name);
        let (inputs, _) = drawn(&model.graph, 1)?;
        assert_eq!(again.run(&inputs, None)?, model.run(&inputs, None)?, "{}", network.name);
    }
    Ok(())
}

/// Same content, same bytes: nothing in a file depends on where or when it was written.
#[test]
fn a_model_gives_the_same_files_each_time() -> Result<()> {
    for network in networks() {
        let trained = || -> Result<Model> {
            let mut model = model(&network)?;
            let mut trainer = model.trainer(None, Arc::new(features(&model, 1)?), None, options())?;
            run(&mut trainer)?;
            let parameters = trainer.parameters(StoppedBy::Epochs)?;
            model.update(parameters)?;
            Ok(model)
        };
        let (a, b) = (trained()?, trained()?);
        for format in [Format::Regraft, Format::Onnx] {
            let options = ExportOptions {
                model_card: (0..9).map(|i| (format!("card {i}"), "text".into())).collect(),
                ..Default::default()
            };
            let files = |model: &Model| Ok::<_, regraft::Error>(model.export(format, &options)?.files);
            assert!(files(&a)? == files(&b)?, "{} as {format}", network.name);
        }
        assert!(features(&a, 1)?.save()? == features(&b, 1)?.save()?, "{}", network.name);
    }
    Ok(())
}

/// Interrupted at any update, written, read, continued: the same losses, weights and records, bit for bit.
#[test]
fn a_resumed_run_is_the_uninterrupted_one() -> Result<()> {
    for network in networks() {
        let model = model(&network)?;
        let (train, validation) = (Arc::new(features(&model, 1)?), Arc::new(features(&model, 2)?));
        let options = FitOptions {
            updater: None,
            seed: None,
            epochs: 4,
            batch_norm: BatchNormMode::Train,
            label_smoothing: 0.1,
            early_stopping: Some(EarlyStopping { patience: 50, ..EarlyStopping::default() }),
            ..options()
        };
        let start = || model.trainer(None, Arc::clone(&train), Some(Arc::clone(&validation)), options.clone());
        let end = |trainer: &Trainer| -> Result<_> {
            let mut model = model.clone();
            model.update(trainer.parameters(StoppedBy::Epochs)?)?;
            Ok((trainer.history(StoppedBy::Epochs), stored(&model)))
        };
        let mut whole = start()?;
        run(&mut whole)?;
        let expected = end(&whole)?;
        for stop in [0, 2, 3, 5, 8] {
            let mut first = start()?;
            for _ in 0..stop {
                first.step()?;
            }
            let checkpoint = Checkpoint::read(&first.checkpoint()?)?;
            let mut second =
                model.resumed_trainer(None, Arc::clone(&train), Some(Arc::clone(&validation)), checkpoint)?;
            run(&mut second)?;
            assert_eq!(end(&second)?, expected, "{}, interrupted after {stop} updates", network.name);
        }
    }
    Ok(())
}

/// A checkpoint of another run is refused.
#[test]
fn a_foreign_checkpoint_is_refused() -> Result<()> {
    for network in networks() {
        let model = model(&network)?;
        let train = Arc::new(features(&model, 1)?);
        let trainer = model.trainer(None, Arc::clone(&train), None, FitOptions { updater: None, ..options() })?;
        let bytes = trainer.checkpoint()?;
        // Another updater has other state.
        let mut checkpoint = Checkpoint::read(&bytes)?;
        checkpoint.options.updater = options().updater;
        let result = model.resumed_trainer(None, Arc::clone(&train), None, checkpoint);
        assert!(matches!(result.map(drop).map_err(|e| e.code()), Err("conflict" | "bad-option")), "{}", network.name);
        // Other data.
        let few = Arc::new(train.select(&[0, 1])?);
        let result = model.resumed_trainer(None, few, None, Checkpoint::read(&bytes)?);
        assert_eq!(result.map(drop).map_err(|e| e.code()), Err("bad-option"), "{}", network.name);
        for len in [0, 7, bytes.len() / 2, bytes.len() - 1] {
            let result = Checkpoint::read(&bytes[..len]);
            assert_eq!(result.map(drop).map_err(|e| e.code()), Err("format"), "{}", network.name);
        }
    }
    Ok(())
}

/// A checkpoint that says it was somewhere it cannot have been is refused.
#[test]
fn an_impossible_place_is_refused() -> Result<()> {
    let network = &networks()[0];
    let model = model(network)?;
    let train = Arc::new(features(&model, 1)?);
    let mut trainer = model.trainer(None, Arc::clone(&train), None, FitOptions { updater: None, ..options() })?;
    for _ in 0..4 {
        trainer.step()?;
    }
    let bytes = trainer.checkpoint()?;
    let resumed =
        |bytes: &[u8]| model.resumed_trainer(None, Arc::clone(&train), None, Checkpoint::read(bytes)?).map(drop);
    resumed(&bytes)?;
    for (from, to) in [
        ("\\\"cursor\\\":3", "\\\"cursor\\\":7"),
        ("\\\"iteration\\\":4", "\\\"iteration\\\":5"),
        ("\\\"epoch\\\":1,\\\"iter", "\\\"epoch\\\":9,\\\"iter"),
    ] {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("the checkpoint has no {from}"));
        let mut changed = bytes.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        assert_eq!(resumed(&changed).map_err(|e| e.code()), Err("format"), "{to}");
    }
    Ok(())
}
