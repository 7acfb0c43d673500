//! What the builder makes of a network, whatever the order of its calls.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use regraft::Result;
use regraft::transfer::{Edit, Model};
use serde_json::json;

use super::data::{changed, stored};
use super::networks::{Network, edits, networks};

/// PT1: settings alone change no weight, and editing changes nothing of the original.
#[test]
fn settings_alone_change_no_weight() -> Result<()> {
    for network in networks() {
        let before = network.model.clone();
        let configuration = json!({ "updater": { "type": "adam" }, "l2": 0.1, "seed": 3 });
        let model = network.model.edited(&edits(json!([
            { "type": "fineTuneConfiguration", "configuration": configuration },
        ])))?;
        assert_eq!(model.graph, network.model.graph, "{}", network.name);
        assert!(changed(&network.model, &model).is_empty(), "{}", network.name);
        assert!(model.reinitialized.is_empty(), "{}", network.name);
        let expected: regraft::transfer::LearningConfig =
            serde_json::from_value(json!({ "updater": { "type": "adam" }, "l2": 0.1 })).unwrap_or_default();
        for row in model.graph.summary()?.into_iter().filter(|row| row.parameters > 0) {
            assert_eq!(model.settings.get(&row.name), Some(&expected), "{}: '{}'", network.name, row.name);
        }
        let harsh = network.model.edited(&edits(json!([
            { "type": "nOutReplace", "name": "fc", "nOut": 9 },
            { "type": "setFeatureExtractor", "names": [network.cut] },
        ])))?;
        assert!(!harsh.reinitialized.is_empty(), "{}", network.name);
        assert_eq!(network.model.graph, before.graph, "{}: the original changed", network.name);
        assert_eq!(stored(&network.model), stored(&before), "{}: the original changed", network.name);
    }
    Ok(())
}

/// A set of edits that touches everything.
fn many(network: &Network) -> Vec<Edit> {
    let head = network.model.graph.get(network.model.graph.outputs()[0]).name.clone();
    edits(json!([
        { "type": "fineTuneConfiguration", "configuration": { "seed": 3, "weightInit": "relu", "l2": 0.01 } },
        { "type": "setFeatureExtractor", "names": [network.layer] },
        { "type": "unfreeze", "names": [] },
        { "type": "nOutReplace", "name": "fc", "nOut": 7, "init": "lecun_normal", "nextInit": "xavier_uniform" },
        { "type": "removeVertexAndConnections", "name": head },
        { "type": "addLayer", "name": "new1", "inputs": ["fc_act"],
          "layer": { "type": "dense", "nOut": 5, "activation": "relu", "l2": 0.5 } },
        { "type": "addLayer", "name": "new2", "inputs": ["new1"],
          "layer": { "type": "output", "nOut": 2, "loss": "negativeloglikelihood" } },
        { "type": "setOutputs", "names": outputs(network) },
        { "type": "setLabels", "labels": ["no", "yes"] },
    ]))
}

fn outputs(network: &Network) -> Vec<&'static str> {
    if network.model.graph.outputs().len() == 2 { vec!["new2", "head2"] } else { vec!["new2"] }
}

fn names(model: &Model) -> String {
    model.graph.iter().map(|(_, v)| v.name.as_str()).collect::<Vec<_>>().join(" ")
}

/// PT7: the order of calls does not matter.
#[test]
fn the_order_of_calls_does_not_matter() -> Result<()> {
    for (seed, network) in networks().into_iter().enumerate() {
        let all = many(&network);
        let first = network.model.edited(&all)?;
        for shuffle in 0..5 {
            let mut shuffled = all.clone();
            shuffled.shuffle(&mut ChaCha8Rng::seed_from_u64(seed as u64 * 100 + shuffle));
            let other = network.model.edited(&shuffled)?;
            let what = format!("{}, shuffle {shuffle}", network.name);
            assert!(other.graph == first.graph, "{what}: {} against {}", names(&other), names(&first));
            assert_eq!(stored(&other), stored(&first), "{what}");
            assert_eq!(other.settings, first.settings, "{what}");
            assert_eq!(other.labels, first.labels, "{what}");
            assert_eq!(other.reinitialized, first.reinitialized, "{what}");
        }
    }
    Ok(())
}

/// PT7: calls that contradict each other are errors, in either order.
#[test]
fn contradictions_are_conflicts() {
    for network in networks() {
        let (layer, cut) = (network.layer, network.cut);
        let n_out = |n: usize| json!({ "type": "nOutReplace", "name": layer, "nOut": n });
        let configuration = |seed: u64| json!({ "type": "fineTuneConfiguration", "configuration": { "seed": seed } });
        let dense = json!({ "type": "dense", "nOut": 2 });
        let pairs = [
            [n_out(4), n_out(5)],
            [configuration(1), configuration(2)],
            [json!({ "type": "setOutputs", "names": ["head1"] }), json!({ "type": "setOutputs", "names": ["fc_act"] })],
            [
                json!({ "type": "removeVertexKeepConnections", "name": layer }),
                json!({ "type": "removeVertexAndConnections", "name": layer }),
            ],
            [n_out(4), json!({ "type": "removeVertexKeepConnections", "name": layer })],
            [json!({ "type": "setFeatureExtractor", "names": [cut] }), json!({ "type": "unfreeze", "names": [layer] })],
            [
                json!({ "type": "addLayer", "name": "new", "inputs": ["fc_act"], "layer": dense }),
                json!({ "type": "addLayer", "name": "new", "inputs": ["fc_act"], "layer": dense }),
            ],
            [json!({ "type": "setLabels", "labels": ["a"] }), json!({ "type": "setLabels", "labels": ["b"] })],
            [
                json!({ "type": "setFeatureExtractor", "names": [layer] }),
                json!({ "type": "removeVertexKeepConnections", "name": layer }),
            ],
        ];
        for [one, other] in pairs {
            for pair in [json!([one, other]), json!([other, one])] {
                let result = network.model.edited(&edits(pair.clone()));
                assert_eq!(result.map(drop).map_err(|e| e.code()), Err("conflict"), "{}: {pair}", network.name);
            }
        }
    }
}

/// PT8: removed and added under the same name is replaced in place; the rest stays as it was.
#[test]
fn a_vertex_is_replaced_in_place() -> Result<()> {
    for network in networks() {
        let model = network.model.edited(&edits(json!([
            { "type": "removeVertexKeepConnections", "name": "fc" },
            { "type": "addLayer", "name": "fc", "inputs": ["flat"], "layer": { "type": "dense", "nOut": 11 } },
        ])))?;
        let before: Vec<_> = network.model.graph.summary()?.into_iter().map(|row| (row.name, row.inputs)).collect();
        let mut after: Vec<_> = model.graph.summary()?.into_iter().map(|row| (row.name, row.inputs)).collect();
        let mut sorted = before.clone();
        sorted.sort();
        after.sort();
        assert_eq!(after, sorted, "{}: other connections", network.name);
        // The layer itself and the head behind it: its input has another size.
        let mut expected = vec!["fc.bias", "fc.weight", "head1.weight"];
        expected.sort_unstable();
        let mut reinitialized = model.reinitialized.clone();
        reinitialized.sort();
        assert_eq!(reinitialized, expected, "{}", network.name);
    }
    Ok(())
}

/// PT8: edits that only remove keep every weight that is left.
#[test]
fn removal_keeps_every_weight() -> Result<()> {
    for network in networks() {
        let heads = network.model.graph.outputs().len();
        let mut all = vec![
            json!({ "type": "removeVertexAndConnections", "name": "head1" }),
            json!({ "type": "setOutputs", "names": if heads == 2 { vec!["fc_act", "head2"] } else { vec!["fc_act"] } }),
        ];
        if heads == 2 {
            all.push(json!({ "type": "removeVertexAndConnections", "name": "head2" }));
            all.push(json!({ "type": "removeVertexAndConnections", "name": "fc_z" }));
            all.push(json!({ "type": "removeVertexAndConnections", "name": "flat_z" }));
            all.push(json!({ "type": "removeVertexAndConnections", "name": "average_z" }));
            all[1] = json!({ "type": "setOutputs", "names": ["fc_act"] });
        }
        let model = network.model.edited(&edits(json!(all)))?;
        assert!(model.reinitialized.is_empty(), "{}: {:?}", network.name, model.reinitialized);
        let before = stored(&network.model);
        for (name, values) in stored(&model) {
            assert_eq!(before.get(&name), Some(&values), "{}: '{name}'", network.name);
        }
        assert!(model.graph.find("head1.weight").is_none(), "{}", network.name);
    }
    Ok(())
}

/// PT8: what lost its last reader, or its last input, is named.
#[test]
fn dangling_vertices_are_named() {
    let failure = |model: &Model, all: serde_json::Value| {
        let error = model.edited(&edits(all)).map(drop).expect_err("a vertex dangles");
        assert_eq!(error.code(), "conflict");
        error.to_string()
    };
    for network in networks() {
        let text = failure(
            &network.model,
            json!([
                { "type": "removeVertexAndConnections", "name": "head1" },
                { "type": "addLayer", "name": "new", "inputs": ["fc"], "layer": { "type": "dense", "nOut": 2 } },
                { "type": "setOutputs", "names": if network.model.graph.outputs().len() == 2 { vec!["new", "head2"] } else { vec!["new"] } },
            ]),
        );
        assert!(text.contains("'fc_act'"), "{}: {text}", network.name);
        let text = failure(&network.model, json!([{ "type": "removeVertexAndConnections", "name": "flat" }]));
        assert!(text.contains("'fc'") && text.contains("'flat'"), "{}: {text}", network.name);
        let text = failure(&network.model, json!([{ "type": "removeVertexKeepConnections", "name": "flat" }]));
        assert!(text.contains("'fc'") && text.contains("'flat'"), "{}: {text}", network.name);
    }
}

/// PT9: setOutputs replaces the list, in its order.
#[test]
fn outputs_are_replaced_and_ordered() -> Result<()> {
    for network in networks() {
        let heads = network.model.graph.outputs().len();
        let mut names = vec!["fc_act", "head1"];
        if heads == 2 {
            names.insert(1, "head2");
        }
        let model = network.model.edited(&edits(json!([{ "type": "setOutputs", "names": names }])))?;
        let [_, outputs] = model.signature()?;
        let found: Vec<String> = outputs.into_iter().map(|info| info.name).collect();
        assert_eq!(found, names, "{}", network.name);
        let (inputs, _) = super::data::drawn(&model.graph, 1)?;
        let values: Vec<String> = model.run(&inputs, None)?.into_iter().map(|(name, _)| name).collect();
        assert_eq!(values, names, "{}", network.name);
        let again = super::data::reloaded(&model)?;
        let [_, outputs] = again.signature()?;
        let found: Vec<String> = outputs.into_iter().map(|info| info.name).collect();
        assert_eq!(found, names, "{}: after a file", network.name);
    }
    Ok(())
}

/// A vertex becomes an input: what lay above it goes, what lies below gets the same values as before.
#[test]
fn a_vertex_becomes_an_input() -> Result<()> {
    for network in networks().into_iter().filter(|n| n.model.graph.outputs().len() == 1 && n.middle.is_some()) {
        let model = network.model.edited(&edits(json!([{ "type": "setInputs", "names": ["pooled"] }])))?;
        let [inputs, _] = model.signature()?;
        assert_eq!(inputs.into_iter().map(|i| i.name).collect::<Vec<_>>(), ["pooled"], "{}", network.name);
        assert!(model.graph.find("conv1.weight").is_none() && model.reinitialized.is_empty(), "{}", network.name);
        let (inputs, _) = super::data::drawn(&network.model.graph, 1)?;
        let names = ["pooled".to_owned(), "head1".to_owned()];
        let values = network.model.run(&inputs, Some(&names))?;
        let again = model.run(&values[..1], None)?;
        assert_eq!(again[0], values[1], "{}", network.name);
    }
    Ok(())
}
