//! Heat maps against JAX (tests/reference/grad_cam.py made the golden).

use std::collections::BTreeMap;

use regraft::Result;
use regraft::data::{Fit, Image, Preprocessing, Size};
use regraft::graph::{Graph, VertexId};
use regraft::ops::{
    BatchNorm, Clamp, Clip, Concat, Conv2d, Dense, Flatten, GlobalAvgPool, Layout, MaxPool, Role, Softmax, Window,
};
use regraft::tensor::{Tensor, TensorType};
use regraft::transfer::{Edit, FineTuneConfiguration, GradCam, Model};
use serde::Deserialize;

/// Both sides compute in f32 and sum in their own order; values are at most 1.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
    best: String,
    weights: BTreeMap<String, Weight>,
    maps: Vec<Map>,
}

#[derive(Deserialize)]
struct Weight {
    shape: Vec<usize>,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct Map {
    at: String,
    label: String,
    map: Vec<f32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../reference/grad_cam.json")).expect("reference")
}

impl Golden {
    fn graph(&self, layout: Layout) -> Result<Graph> {
        let mut g = Graph::new();
        let (h, w) = (self.height as usize, self.width as usize);
        let shape = if layout == Layout::Nhwc { [1, h, w, 3] } else { [1, 3, h, w] };
        let stored = |g: &mut Graph, name: &str, role| -> Result<VertexId> {
            let Weight { shape, values } = &self.weights[name];
            g.parameter(name, role, Tensor::f32(shape.as_slice(), values.clone())?)
        };
        let conv = |padding: usize| {
            let window = Window { padding: [padding; 4], ..Window::default() };
            Conv2d { window, groups: 1, bias: true, residual: false, clamp: None, layout }
        };
        let relu = Clip { clamp: Clamp::RELU };
        let x = g.input("image", TensorType::f32(shape), true)?;
        let weights = [stored(&mut g, "conv1.weight", Role::Weight)?, stored(&mut g, "conv1.bias", Role::Bias)?];
        let x = g.add("conv1", conv(1), &[x, weights[0], weights[1]])?;
        let gamma = stored(&mut g, "norm.gamma", Role::Gamma)?;
        let beta = stored(&mut g, "norm.beta", Role::Beta)?;
        let mean = stored(&mut g, "norm.mean", Role::Mean)?;
        let variance = stored(&mut g, "norm.variance", Role::Variance)?;
        let x = g.add(
            "norm",
            BatchNorm { epsilon: 1e-3, momentum: 0.9, layout, clamp: None },
            &[x, gamma, beta, mean, variance],
        )?;
        let first = g.add("first", relu.clone(), &[x])?;
        let window = Window { stride: [2, 2], ..Window::default() };
        let x = g.add("pool", MaxPool { kernel: [2, 2], window, ceil: false, layout }, &[first])?;
        let weights = [stored(&mut g, "conv2.weight", Role::Weight)?, stored(&mut g, "conv2.bias", Role::Bias)?];
        let x = g.add("conv2", conv(0), &[x, weights[0], weights[1]])?;
        let last = g.add("last", relu, &[x])?;
        let mut means = Vec::new();
        for (name, x) in [("mean of last", last), ("mean of first", first)] {
            let x = g.add(name, GlobalAvgPool { layout }, &[x])?;
            means.push(g.add(format!("{name}, flat"), Flatten { axis: 1 }, &[x])?);
        }
        let x = g.add("joined", Concat { axis: 1 }, &means)?;
        let weights = [stored(&mut g, "head.weight", Role::Weight)?, stored(&mut g, "head.bias", Role::Bias)?];
        let x = g.add("head", Dense { bias: true, clamp: None }, &[x, weights[0], weights[1]])?;
        let x = g.add("predictions", Softmax { axis: 1 }, &[x])?;
        g.set_outputs(vec![x]);
        Ok(g)
    }

    fn model(&self, layout: Layout) -> Result<Model> {
        let size = Size { width: self.width, height: self.height };
        Ok(Model {
            graph: self.graph(layout)?,
            labels: Some((0..4).map(|class| format!("class {class}")).collect()),
            preprocessing: Preprocessing { size, fit: Fit::Stretch, ..Preprocessing::default() },
            configuration: FineTuneConfiguration::default(),
            settings: BTreeMap::new(),
            reinitialized: Vec::new(),
            provenance: BTreeMap::new(),
        })
    }

    fn image(&self) -> Result<Image<'_>> {
        Image::new(&self.pixels, self.width, self.height, 3)
    }

    fn check(&self, model: &Model, what: &str) -> Result<()> {
        for Map { at, label, map } in &self.maps {
            let found = GradCam::new(model, Some(at))?.map(self.image()?, Some(label))?;
            assert_eq!((found.width, found.height), (self.width, self.height));
            assert_eq!(found.data.len(), map.len());
            for (pixel, (x, y)) in found.data.iter().zip(map).enumerate() {
                assert!((x - y).abs() <= TOLERANCE, "{what}, {label} at {at}, pixel {pixel}: {x}, JAX has {y}");
            }
        }
        Ok(())
    }
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn maps_are_those_of_jax_in_either_layout_and_frozen_or_not() -> Result<()> {
    let golden = golden();
    assert_eq!(golden.maps.len(), 8);
    for layout in [Layout::Nhwc, Layout::Nchw] {
        let model = golden.model(layout)?;
        golden.check(&model, &format!("{layout:?}"))?;
        for names in ["first", "predictions"] {
            let edits = serde_json::json!([{ "type": "setFeatureExtractor", "names": [names] }]);
            let edits: Vec<Edit> = serde_json::from_value(edits).expect("edits");
            golden.check(&model.edited(&edits)?, &format!("{layout:?} frozen up to {names}"))?;
        }
    }
    Ok(())
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn the_last_map_and_the_best_class_are_the_defaults() -> Result<()> {
    let golden = golden();
    let model = golden.model(Layout::Nchw)?;
    let mut named = GradCam::new(&model, Some("last"))?;
    let mut default = GradCam::new(&model, None)?;
    assert_eq!(default.map(golden.image()?, None)?, named.map(golden.image()?, Some(&golden.best))?);
    // A network that ends in scores has the same maps as one that ends in their softmax, and columns for names.
    let mut scores = golden.model(Layout::Nchw)?;
    let head = scores.graph.require("head")?;
    scores.graph.set_outputs(vec![head]);
    scores.labels = None;
    let class = golden.best.strip_prefix("class ");
    let mut bare = GradCam::new(&scores, None)?;
    assert_eq!(bare.map(golden.image()?, class)?, named.map(golden.image()?, Some(&golden.best))?);
    assert_eq!(bare.map(golden.image()?, Some("4")).map_err(|e| e.code()), Err("bad-option"));
    assert_eq!(named.map(golden.image()?, Some("class 4")).map_err(|e| e.code()), Err("bad-option"));
    Ok(())
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn what_is_no_map_is_refused() -> Result<()> {
    let mut model = golden().model(Layout::Nchw)?;
    let code = |model: &Model, at: Option<&str>| GradCam::new(model, at).map_err(|e| e.code()).err();
    for (at, expected) in [("joined", "conflict"), ("predictions", "conflict"), ("lust", "unknown-vertex")] {
        assert_eq!(code(&model, Some(at)), Some(expected), "{at}");
    }
    // A map that the output does not depend on.
    let first = model.graph.require("first")?;
    model.graph.add("aside", Clip { clamp: Clamp::RELU }, &[first])?;
    assert_eq!(code(&model, Some("aside")), Some("conflict"));
    model.graph.set_outputs(vec![first]);
    assert_eq!(code(&model, None), Some("conflict"));
    Ok(())
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn zoo_networks_with_a_new_head_show_their_last_map() -> Result<()> {
    use regraft::transfer::{ClassifierOptions, LoadOptions};

    let pixels: Vec<u8> = (0..64 * 48 * 3u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (architecture, at) in [("mobilenet_v2", "head/relu6"), ("squeezenet1_1", "fire9/concat")] {
        let options = serde_json::json!({ "architecture": architecture });
        let options: LoadOptions = serde_json::from_value(options).expect("options");
        let model = Model::load(&BTreeMap::new(), &options)?;
        let labels = ["a", "b", "c"].map(String::from).to_vec();
        let head = ClassifierOptions { labels, hidden: vec![8], ..ClassifierOptions::default() };
        let model = model.classifier(&head)?;
        let image = Image::new(&pixels, 64, 48, 3)?;
        let map = GradCam::new(&model, None)?.map(image, Some("b"))?;
        assert_eq!((map.width, map.height), (224, 224), "{architecture}");
        assert!(map.data.iter().all(|x| (0.0..=1.0).contains(x)), "{architecture}");
        assert!(map.data.iter().any(|x| *x > 0.5), "{architecture}: nothing speaks for the class");
        assert_eq!(GradCam::new(&model, Some(at))?.map(image, Some("b"))?, map, "{architecture}");
    }
    Ok(())
}
