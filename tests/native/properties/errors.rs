//! Every mistake has its error, and the error names the vertex (PT15).

use regraft::Error;
use regraft::transfer::Model;
use serde_json::{Value, json};

use super::networks::{CLASSES, edits, networks};

fn failure(model: &Model, all: Value) -> Error {
    model.edited(&edits(all.clone())).map(drop).expect_err(&all.to_string())
}

#[test]
fn every_mistake_names_its_vertex() {
    let output = |activation: Value, loss: &str, n: usize| {
        let mut layer = json!({ "type": "output", "nOut": n, "loss": loss });
        if !activation.is_null() {
            layer["activation"] = activation;
        }
        json!([
            { "type": "removeVertexKeepConnections", "name": "head1" },
            { "type": "addLayer", "name": "head1", "inputs": ["fc_act"], "layer": layer },
        ])
    };
    let dense = json!({ "type": "dense", "nOut": 2 });
    for network in networks() {
        let heads = network.model.graph.outputs().len();
        // What is wrong, the code, the vertex that is named.
        let cases: Vec<(Value, &str, &str)> = vec![
            (json!([{ "type": "setFeatureExtractor", "names": ["fc_atc"] }]), "unknown-vertex", "fc_atc"),
            (json!([{ "type": "unfreeze", "names": ["nothing"] }]), "unknown-vertex", "nothing"),
            (json!([{ "type": "setOutputs", "names": ["nothing"] }]), "unknown-vertex", "nothing"),
            (json!([{ "type": "setInputs", "names": ["nothing"] }]), "unknown-vertex", "nothing"),
            (json!([{ "type": "removeVertexAndConnections", "name": "nothing" }]), "unknown-vertex", "nothing"),
            (json!([{ "type": "nOutReplace", "name": "nothing", "nOut": 2 }]), "unknown-vertex", "nothing"),
            (json!([{ "type": "nInReplace", "name": "nothing", "nIn": 2 }]), "unknown-vertex", "nothing"),
            // An input that does not exist, none at all, an existing name.
            (
                json!([{ "type": "addLayer", "name": "new", "inputs": ["nothing"], "layer": dense }]),
                "unknown-vertex",
                "nothing",
            ),
            (json!([{ "type": "addLayer", "name": "new", "inputs": [], "layer": dense }]), "conflict", "new"),
            (json!([{ "type": "addLayer", "name": "fc", "inputs": ["flat"], "layer": dense }]), "conflict", "fc"),
            // A new layer nothing reads.
            (json!([{ "type": "addLayer", "name": "new", "inputs": ["flat"], "layer": dense }]), "conflict", "new"),
            // A cycle.
            (
                json!([
                    { "type": "removeVertexKeepConnections", "name": "fc" },
                    { "type": "addLayer", "name": "fc", "inputs": ["fc_act"], "layer": dense },
                ]),
                "conflict",
                "fc",
            ),
            // Sizes.
            (
                json!([
                    { "type": "removeVertexKeepConnections", "name": "fc" },
                    { "type": "addLayer", "name": "fc", "inputs": ["flat"],
                      "layer": { "type": "dense", "nOut": 2, "nIn": 1000 } },
                ]),
                "shape",
                "fc",
            ),
            (json!([{ "type": "setLabels", "labels": ["a", "b", "c", "d"] }]), "bad-option", ""),
            // Output layers whose activation and loss do not go together.
            (output(json!("softmax"), "mcxent", 1), "conflict", "head1"),
            (output(json!("identity"), "negativeloglikelihood", CLASSES), "conflict", "head1"),
            (output(json!("relu"), "xent", CLASSES), "conflict", "head1"),
            (output(json!("softmax"), "xent", CLASSES), "conflict", "head1"),
            (output(json!("sigmoid"), "mcxent", CLASSES), "conflict", "head1"),
        ];
        for (all, code, vertex) in cases {
            let error = failure(&network.model, all.clone());
            assert_eq!(error.code(), code, "{}: {all}: {error}", network.name);
            assert!(error.to_string().contains(vertex), "{}: {all}: {error}", network.name);
            if !vertex.is_empty() {
                // A cycle is found at one of its vertices.
                let named = error.vertex().is_some_and(|v| v == vertex || vertex == "fc" && v == "fc_act");
                assert!(named, "{}: {all}: {error} names {:?}", network.name, error.vertex());
            }
        }
        // Zero results, no names, misspelt settings: refused before anything is built.
        for all in [
            json!([{ "type": "nOutReplace", "name": "fc", "nOut": 0 }]),
            json!([{ "type": "setFeatureExtractor", "names": [] }]),
            json!([{ "type": "fineTuneConfiguration", "configuration": { "dropout": 1.0 } }]),
            json!([{ "type": "fineTuneConfiguration", "configuration": { "l2": -1.0 } }]),
        ] {
            assert_eq!(failure(&network.model, all.clone()).code(), "bad-option", "{}: {all}", network.name);
        }
        let nearest = failure(&network.model, json!([{ "type": "setFeatureExtractor", "names": ["fc_atc"] }]));
        assert!(nearest.to_string().contains("did you mean 'fc_act'"), "{}: {nearest}", network.name);
        assert!(heads > 0, "{}", network.name);
    }
}

/// Misspelt names of settings are refused where JSON is read.
#[test]
fn misspelt_settings_are_refused() {
    for text in [
        json!({ "type": "addLayer", "name": "a", "inputs": [], "layer": { "type": "dense", "nOut": 2, "nout": 2 } }),
        json!({ "type": "fineTuneConfiguration", "configuration": { "learningRate": 0.1 } }),
        json!({ "type": "nOutReplace", "name": "a", "nout": 2 }),
    ] {
        assert!(serde_json::from_value::<regraft::transfer::Edit>(text.clone()).is_err(), "{text}");
    }
}

/// Everything removed: no output is left.
#[test]
fn a_network_keeps_an_output() {
    for network in networks().into_iter().filter(|n| n.model.graph.outputs().len() == 1) {
        let error = failure(&network.model, json!([{ "type": "removeVertexAndConnections", "name": "head1" }]));
        assert_eq!(error.code(), "conflict", "{}: {error}", network.name);
    }
}

/// A network without a loss says which vertex to replace.
#[test]
fn a_network_without_a_loss_says_what_to_replace() {
    for network in networks() {
        let all = json!([{ "type": "setOutputs", "names": if network.model.graph.outputs().len() == 2 { json!(["head1", "head2", "fc_act"]) } else { json!(["fc_act", "head1"]) } }]);
        let model = network.model.edited(&edits(all)).unwrap_or_else(|e| panic!("{}: {e}", network.name));
        let mut graph = model.graph.clone();
        let pooled = graph.find("fc_act").into_iter().collect();
        graph.set_outputs(pooled);
        let model = Model { graph, ..model };
        let set = super::data::features(&model, 1).unwrap_or_else(|e| panic!("{}: {e}", network.name));
        let error = model.trainer(None, std::sync::Arc::new(set), None, super::data::options()).map(drop);
        let error = error.expect_err("there is no loss");
        assert_eq!((error.code(), error.vertex()), ("conflict", Some("fc_act")), "{}", network.name);
    }
}
