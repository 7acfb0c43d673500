//! Views of images on their way through trunk, feature sets and evaluation.

use std::collections::BTreeMap;
use std::sync::Arc;

use regraft::Result;
use regraft::data::{Augmentation, FeatureSet, FeatureTensor, Image, Preprocessing, Size, Views};
use regraft::formats::safetensors::FloatType;
use regraft::graph::Graph;
use regraft::ops::{GlobalAvgPool, Layout, Softmax};
use regraft::tensor::TensorType;
use regraft::train::FitOptions;
use regraft::transfer::{FineTuneConfiguration, Model, Trunk};

const SIZE: Size = Size { width: 6, height: 4 };

/// Largest difference of a mean of 24 values near 1, in f32, from the same in f64.
const MEAN_TOLERANCE: f64 = 1e-5;

fn texture(seed: u32) -> Vec<u8> {
    (0..8 * 6 * 3u32).map(|i| ((i + 97 * seed).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// The mean of each channel.
fn means(pixels: &[f32]) -> [f64; 3] {
    let sum = |c: usize| pixels.iter().skip(c).step_by(3).map(|x| f64::from(*x)).sum::<f64>();
    [sum(0), sum(1), sum(2)].map(|sum| sum / (pixels.len() / 3) as f64)
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn a_trunk_sees_the_view_that_was_rendered() -> Result<()> {
    let preprocessing = Preprocessing { size: SIZE, ..Preprocessing::default() };
    let augmentation =
        Augmentation { flip_horizontal: true, shift: 0.2, brightness: 0.4, mixup: 1.0, ..Augmentation::default() };
    let views = Views::new(augmentation, 4, 2, SIZE)?;
    let data = [texture(0), texture(1)];
    let image = |index: usize| Image::new(&data[index], 8, 6, 3);
    for layout in [Layout::Nhwc, Layout::Nchw] {
        let mut graph = Graph::new();
        let shape = if layout == Layout::Nhwc { [1, 4, 6, 3] } else { [1, 3, 4, 6] };
        let x = graph.input("image", TensorType::f32(shape), true)?;
        let y = graph.add("means", GlobalAvgPool { layout }, &[x])?;
        graph.set_outputs(vec![y]);
        let mut trunk = Trunk::new(&graph, &preprocessing, None)?;
        let plain = trunk.featurize(image(0)?)?;
        assert_eq!(trunk.featurize_view(&views, (0, 0), image(0)?, None)?, plain);
        for view in 1..4 {
            assert_eq!(views.mix(0, view).map(|mix| mix.partner), Some(1));
            let found = trunk.featurize_view(&views, (0, view), image(0)?, Some(image(1)?))?;
            let mut pixels = vec![0.0; 6 * 4 * 3];
            views.render(&preprocessing, (0, view), image(0)?, Some(image(1)?), &mut pixels)?;
            for (x, y) in found.iter().zip(means(&pixels)) {
                assert!((f64::from(*x) - y).abs() < MEAN_TOLERANCE, "view {view}: {x}, expected {y}");
            }
            assert_ne!(found, plain);
        }
        let alone = trunk.featurize_view(&views, (0, 1), image(0)?, None).map_err(|e| e.code());
        assert_eq!(alone, Err("bad-option"));
    }
    Ok(())
}

/// A softmax over features that are logits already.
fn model(labels: Option<&[&str]>) -> Result<Model> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([1, 3]), true)?;
    let y = graph.add("predictions", Softmax { axis: 1 }, &[x])?;
    graph.set_outputs(vec![y]);
    Ok(Model {
        graph,
        labels: labels.map(|labels| labels.iter().map(|l| (*l).to_owned()).collect()),
        preprocessing: Preprocessing::default(),
        configuration: FineTuneConfiguration::default(),
        settings: BTreeMap::new(),
        reinitialized: Vec::new(),
        provenance: BTreeMap::new(),
    })
}

/// Two images of two views; the second views are wrong.
fn features(labels: &[&str], targets: [usize; 2]) -> Result<FeatureSet> {
    let tensors = vec![FeatureTensor { name: "x".to_owned(), shape: [3].into() }];
    let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
    let mut set = FeatureSet::new(tensors, 4, labels, "key".to_owned(), FloatType::F32)?.with_views(2)?;
    for (row, values) in [[5.0, 0.0, 0.0], [0.0, 5.0, 5.0], [0.0, 0.0, 5.0], [5.0, 5.0, 0.0]].iter().enumerate() {
        set.set(row, targets[row / 2], &format!("image {}", row / 2), values)?;
    }
    Ok(set)
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn evaluation_looks_at_plain_views_and_goes_by_names() -> Result<()> {
    let at = ["x".to_owned()];
    let classes = ["ant", "bee", "cow"];
    let judge = |model: &Model, set: &FeatureSet| model.evaluate(set, Some(1), Some(&at));
    let same = judge(&model(Some(&classes))?, &features(&classes, [0, 2])?)?;
    assert_eq!((same.count, same.accuracy), (2, 1.0));
    // ant and cow again, in another order and without bee.
    let fewer = judge(&model(Some(&classes))?, &features(&["cow", "ant"], [1, 0])?)?;
    assert_eq!(fewer, same);
    // Without names, columns are taken as they come.
    let wrong = judge(&model(None)?, &features(&["cow", "ant", "bee"], [1, 0])?)?;
    assert_eq!((wrong.accuracy, wrong.mistakes.len(), wrong.mistakes[0].id.as_str()), (0.0, 2, "image 0"));
    let code = |labels: &[&str], names: Option<&[&str]>| -> Result<&str> {
        Ok(judge(&model(names)?, &features(labels, [0, 1])?).map_err(|e| e.code()).err().unwrap_or_default())
    };
    assert_eq!(code(&["ant", "dog"], Some(&classes))?, "bad-option");
    assert_eq!(code(&["ant", "bee"], None)?, "bad-option");
    Ok(())
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn training_refuses_other_names_for_as_many_classes() -> Result<()> {
    let at = ["x".to_owned()];
    let model = model(Some(&["ant", "bee", "cow"]))?;
    let key = model.trunk_key(&model.split(Some(&at))?)?;
    let code = |labels: [&str; 3]| -> Result<&str> {
        let tensors = vec![FeatureTensor { name: "x".to_owned(), shape: [3].into() }];
        let labels = labels.map(String::from).to_vec();
        let set = FeatureSet::new(tensors, 4, labels, key.clone(), FloatType::F32)?;
        let trainer = model.trainer(Some(&at), Arc::new(set), None, FitOptions::default());
        Ok(trainer.map_err(|e| e.code()).err().unwrap_or_default())
    };
    for other in [["bee", "ant", "cow"], ["ant", "bee", "dog"]] {
        assert_eq!(code(other)?, "bad-option", "{other:?}");
    }
    // The right names get as far as finding that a softmax has nothing to learn.
    assert_eq!(code(["ant", "bee", "cow"])?, "conflict");
    Ok(())
}
