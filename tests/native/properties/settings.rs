//! Whose settings hold (PT10): a layer's own, then the configuration's, then the original's, then the default. `null` removes.

use regraft::Result;
use regraft::train::Updater;
use regraft::transfer::{LearningConfig, Model, Setting};
use serde_json::{Value, json};

use super::data::{drawn, options};
use super::networks::{edits, networks};

/// Each setting with two values.
fn all_settings() -> Vec<(&'static str, Value, Value)> {
    let clip = |t: f64| json!({ "type": "clip_l2_per_layer", "threshold": t });
    vec![
        ("updater", json!({ "type": "adam" }), json!({ "type": "sgd", "learningRate": 0.5 })),
        ("biasUpdater", json!({ "type": "adam" }), json!({ "type": "noop" })),
        ("l1", json!(0.25), json!(0.5)),
        ("l2", json!(0.25), json!(0.5)),
        ("weightDecay", json!(0.25), json!(0.5)),
        ("l1Bias", json!(0.25), json!(0.5)),
        ("l2Bias", json!(0.25), json!(0.5)),
        ("dropout", json!(0.25), json!(0.5)),
        ("gradientNormalization", clip(1.0), clip(2.0)),
        ("constraints", json!([{ "type": "unit_norm" }]), json!([{ "type": "non_negative" }])),
    ]
}

fn config(name: &str, value: &Value) -> LearningConfig {
    let mut all = json!({});
    all[name] = value.clone();
    serde_json::from_value(all).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn of(model: &Model, layer: &str) -> LearningConfig {
    model.settings.get(layer).cloned().unwrap_or_default()
}

/// The network with a layer that has settings of its own.
fn with_new(model: &Model, own: Value, configuration: Option<Value>) -> Result<Model> {
    let mut layer = json!({ "type": "dense", "nOut": 4 });
    layer.as_object_mut().into_iter().for_each(|layer| layer.extend(own.as_object().cloned().unwrap_or_default()));
    let mut all = vec![
        json!({ "type": "removeVertexKeepConnections", "name": "fc" }),
        json!({ "type": "addLayer", "name": "fc", "inputs": ["flat"], "layer": layer }),
    ];
    all.extend(configuration.map(|c| json!({ "type": "fineTuneConfiguration", "configuration": c })));
    model.edited(&edits(json!(all)))
}

#[test]
fn the_nearest_setting_holds() -> Result<()> {
    for network in networks() {
        for (name, one, other) in all_settings() {
            let what = format!("{}, {name}", network.name);
            let set = |value: &Value| {
                let mut all = json!({});
                all[name] = value.clone();
                all
            };
            let none = LearningConfig::default();
            // Own over configuration, for a new layer; the configuration alone for the others.
            let model = with_new(&network.model, set(&one), Some(set(&other)))?;
            assert_eq!(of(&model, "fc"), config(name, &one), "{what}: own");
            assert_eq!(of(&model, "head1"), config(name, &other), "{what}: configuration");
            // The configuration where a new layer says nothing; nothing where neither does.
            assert_eq!(
                of(&with_new(&network.model, json!({}), Some(set(&other)))?, "fc"),
                config(name, &other),
                "{what}"
            );
            assert_eq!(of(&with_new(&network.model, json!({}), None)?, "fc"), none, "{what}: default");
            // The configuration over the original, for an existing layer; the original where it says nothing.
            let again = |configuration: Value| {
                model.edited(&edits(json!([{ "type": "fineTuneConfiguration", "configuration": configuration }])))
            };
            assert_eq!(of(&again(set(&other))?, "fc"), config(name, &other), "{what}: over the original");
            assert_eq!(of(&again(json!({ "seed": 1 }))?, "fc"), config(name, &one), "{what}: original");
            // A frozen layer keeps what it has.
            let frozen = model.edited(&edits(json!([
                { "type": "setFeatureExtractor", "names": ["fc"] },
                { "type": "fineTuneConfiguration", "configuration": set(&other) },
            ])))?;
            assert_eq!(of(&frozen, "fc"), config(name, &one), "{what}: frozen");
            // `null` removes, where there can be none.
            if serde_json::from_value::<LearningConfig>(set(&Value::Null)).is_ok_and(|c| c != none) {
                assert_eq!(of(&again(set(&Value::Null))?, "fc"), none, "{what}: removed");
                let own = with_new(&network.model, set(&Value::Null), Some(set(&other)))?;
                assert_eq!(of(&own, "fc"), none, "{what}: removed by the layer itself");
            }
        }
    }
    Ok(())
}

/// Whatever is configured, what a frozen network computes stays as it is.
#[test]
fn configuration_does_not_change_what_is_computed() -> Result<()> {
    for network in networks() {
        let mut all = json!({ "activation": "tanh", "weightInit": "ones", "biasInit": 1.0 });
        all_settings().into_iter().for_each(|(name, value, _)| all[name] = value);
        let model = network.model.edited(&edits(json!([
            { "type": "setFeatureExtractor", "names": [network.cut] },
            { "type": "fineTuneConfiguration", "configuration": all },
        ])))?;
        let (inputs, _) = drawn(&model.graph, 1)?;
        assert_eq!(model.run(&inputs, None)?, network.model.run(&inputs, None)?, "{}", network.name);
    }
    Ok(())
}

/// Settings reach training: each changes the result of a run, and the bias settings only when biases are trained.
#[test]
fn every_setting_reaches_training() -> Result<()> {
    for network in networks() {
        let trained = |configuration: Value| -> Result<_> {
            let model = network.model.edited(&edits(json!([
                { "type": "setFeatureExtractor", "names": [network.cut] },
                { "type": "fineTuneConfiguration", "configuration": configuration },
            ])))?;
            let options = regraft::train::FitOptions { updater: None, ..options() };
            Ok(super::data::stored(&super::data::fitted(&model, options)?.0))
        };
        let base = json!({ "updater": { "type": "sgd", "learningRate": 0.1 } });
        let plain = trained(base.clone())?;
        for (name, _, other) in all_settings().into_iter().filter(|(name, ..)| *name != "updater") {
            let mut with = base.clone();
            with[name] =
                if name == "gradientNormalization" { json!({ "type": "renormalize_l2_per_layer" }) } else { other };
            let found = trained(with)?;
            assert_ne!(found, plain, "{}: {name} has no effect", network.name);
            if name.ends_with("Bias") || name == "biasUpdater" {
                assert_ne!(found["head1.bias"], plain["head1.bias"], "{}: {name}", network.name);
            }
        }
    }
    Ok(())
}

/// Settings of the run win over all others.
#[test]
fn the_updater_of_the_run_wins() -> Result<()> {
    let network = &networks()[0];
    let model = network.model.edited(&edits(json!([
        { "type": "fineTuneConfiguration", "configuration": { "updater": { "type": "noop" } } },
    ])))?;
    assert_eq!(of(&model, "fc").updater, Some(Updater::Noop {}));
    let still = regraft::train::FitOptions { updater: None, ..options() };
    assert!(super::data::changed(&model, &super::data::fitted(&model, still)?.0).is_empty());
    assert!(!super::data::changed(&model, &super::data::fitted(&model, options())?.0).is_empty());
    assert_eq!(of(&model, "fc").l2, Setting::Keep);
    Ok(())
}
