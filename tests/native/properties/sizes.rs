//! Sizes replaced and carried through the network (PT6).

use regraft::Result;
use regraft::transfer::Model;
use serde_json::json;

use super::data::{drawn, fitted, options, stored};
use super::networks::{edits, networks};

/// All values fit, the network runs and trains, and what is listed as redrawn is just what was: the named layer and whatever
/// has another shape.
fn check(before: &Model, after: &Model, layers: &[&str], what: &str) -> Result<()> {
    let (inputs, _) = drawn(&after.graph, 1)?;
    for (name, value) in after.run(&inputs, None)? {
        assert!(value.as_f32().unwrap_or_default().iter().all(|x| x.is_finite()), "{what}: '{name}'");
    }
    fitted(after, options())?;
    let shape = |model: &Model, name: &str| model.graph.find(name).map(|id| model.graph.get(id).ty.shape.clone());
    let (old, new) = (stored(before), stored(after));
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>(), "{what}");
    for (name, values) in &new {
        let named = layers.iter().any(|layer| name.starts_with(&format!("{layer}.")));
        let expected = named || shape(before, name) != shape(after, name);
        assert_eq!(after.reinitialized.contains(name), expected, "{what}: '{name}' is listed");
        assert!(expected || old[name] == *values, "{what}: '{name}' changed");
    }
    Ok(())
}

#[test]
fn another_n_out_is_carried_through() -> Result<()> {
    for network in networks() {
        for n_out in [1, 4, 9] {
            let what = format!("{}, {} gets {n_out}", network.name, network.layer);
            let model = network.model.edited(&edits(json!([
                { "type": "nOutReplace", "name": network.layer, "nOut": n_out },
            ])));
            // A sum with a value of the old width has no meaning, nor has a gate of the old width.
            if let (true, Err(error)) = (network.name.contains("excite") && n_out > 1, &model) {
                assert_eq!(error.code(), "shape", "{what}: {error}");
                assert!(error.vertex().is_some_and(|v| v == "scaled" || v == "gate_map"), "{what}: {error}");
                continue;
            }
            if let (true, Err(error)) = (network.name.contains("residual"), &model) {
                assert_eq!((error.code(), error.vertex()), ("shape", Some("sum")), "{what}: {error}");
                continue;
            }
            let model = model.unwrap_or_else(|e| panic!("{what}: {e}"));
            check(&network.model, &model, &[network.layer], &what)?;
        }
    }
    Ok(())
}

/// In a residual block both branches are replaced together.
#[test]
fn both_branches_of_a_sum_are_replaced_together() -> Result<()> {
    for network in networks().into_iter().filter(|n| n.name.contains("residual")) {
        let layers = ["conv1", "conv2", "conv3"];
        let all: Vec<_> = layers.iter().map(|name| json!({ "type": "nOutReplace", "name": name, "nOut": 5 })).collect();
        let model = network.model.edited(&edits(json!(all)))?;
        check(&network.model, &model, &layers, &network.name)?;
    }
    Ok(())
}

/// Edits of layers that follow each other have the same result in either order.
#[test]
fn edits_of_neighbours_commute() -> Result<()> {
    for network in networks().into_iter().filter(|n| n.model.graph.find("fc").is_some()) {
        let one = json!({ "type": "nOutReplace", "name": "fc", "nOut": 6, "init": "relu", "nextInit": "uniform" });
        let other = json!({ "type": "nOutReplace", "name": "head1", "nOut": 3, "init": "lecun_normal" });
        let first = network.model.edited(&edits(json!([one, other])))?;
        let second = network.model.edited(&edits(json!([other, one])))?;
        assert_eq!(stored(&first), stored(&second), "{}", network.name);
        check(&network.model, &first, &["fc", "head1"], &network.name)?;
    }
    Ok(())
}

/// The wish for the next layer reaches it through what lies between.
#[test]
fn the_next_layer_gets_its_initialisation() -> Result<()> {
    for network in networks().into_iter().filter(|n| n.name.contains("chain") || n.name.contains("batch norm")) {
        let model = network.model.edited(&edits(json!([
            { "type": "nOutReplace", "name": "conv1", "nOut": 6, "init": "ones", "nextInit": "zero" },
        ])))?;
        let next = if network.name.contains("chain") { "conv2.weight" } else { "depthwise2.weight" };
        let all = stored(&model);
        assert!(all["conv1.weight"].iter().all(|w| f32::from_bits(*w) == 1.0), "{}", network.name);
        assert!(all[next].iter().all(|w| f32::from_bits(*w) == 0.0), "{}", network.name);
    }
    Ok(())
}

/// nInReplace says what the layer's input has, and draws the layer anew.
#[test]
fn n_in_is_checked() -> Result<()> {
    for network in networks() {
        let k = network.model.graph.get(network.model.graph.require("fc.weight")?).ty.shape[0];
        let edit = |n: usize| edits(json!([{ "type": "nInReplace", "name": "fc", "nIn": n, "init": "ones" }]));
        let model = network.model.edited(&edit(k))?;
        assert!(stored(&model)["fc.weight"].iter().all(|w| f32::from_bits(*w) == 1.0), "{}", network.name);
        let error = network.model.edited(&edit(k + 1)).map(drop).expect_err("another number");
        assert_eq!((error.code(), error.vertex()), ("shape", Some("fc")), "{}: {error}", network.name);
        let text = error.to_string();
        assert!(text.contains(&(k + 1).to_string()) && text.contains(&k.to_string()), "{}: {text}", network.name);
    }
    Ok(())
}

/// What has no weights has no size of its own.
#[test]
fn vertices_without_weights_have_no_size() {
    for network in networks() {
        let result = network.model.edited(&edits(json!([{ "type": "nOutReplace", "name": "fc_act", "nOut": 2 }])));
        let error = result.map(drop).expect_err("an activation has no size");
        assert_eq!((error.code(), error.vertex()), ("conflict", Some("fc_act")), "{}", network.name);
    }
}
