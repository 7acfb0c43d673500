//! A pretrained network on real photos: the same logits on both backends.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regraft::Result;
use regraft::backend::Device;
use regraft::backend::gpu::GpuOptions;
use regraft::graph::{Vertex, rewrite};
use regraft::ops::Op;
use regraft::tensor::Tensor;
use regraft::transfer::{Edit, LoadOptions, Model, Trunk};

use crate::conformance::{is_halved, rounded};
use crate::gpu;
use crate::pictures::Picture;

/// Cosine of the logits of both backends: sums of up to 1280 products in another order, through fifty layers.
const COSINE: f64 = 0.99999;

fn asset(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name);
    assert!(path.exists(), "{} is not there; run scripts/assets", path.display());
    path
}

/// The network up to its logits: probabilities of one class would hide the others. Its weights may be rounded to 16 bits, as the demo's
/// file has them.
fn network(halves: bool) -> Result<Model> {
    let bytes = fs::read(asset("efficientnet_lite0.pth")).unwrap_or_default();
    let files = BTreeMap::from([("efficientnet_lite0.pth".to_owned(), bytes.as_slice())]);
    let mut model = Model::load(&files, &LoadOptions::default())?;
    let last = model.graph.get(model.graph.outputs()[0]);
    if matches!(last.op, Op::Softmax(_)) {
        let logits = last.inputs[0];
        model.graph.set_outputs(vec![logits]);
    }
    if halves {
        let edits = [Edit::Unfreeze { names: vec![model.graph.get(model.graph.inputs()[0]).name.clone()] }];
        model = model.edited(&edits)?;
        let rounded = |(_, v): (_, &Vertex)| {
            let value = v.value.as_ref().filter(|_| v.is_trainable())?;
            let values = rounded(&[value.as_f32()?.to_vec()]).concat();
            Some(Tensor::f32(value.shape().clone(), values).map(|value| (v.name.clone(), value)))
        };
        let values = model.graph.iter().filter_map(rounded).collect::<Result<Vec<_>>>()?;
        model.update(values)?;
    }
    Ok(model)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn logits_of_photos_are_those_of_the_cpu() -> Result<()> {
    let mut paths: Vec<PathBuf> = fs::read_dir(asset("imagenet"))
        .unwrap_or_else(|e| panic!("assets/imagenet: {e}"))
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    paths.sort();
    assert_eq!(paths.len(), 20, "{paths:?}");
    // Every second one, or every fourth: shaders run on the CPU here.
    compare(&network(false)?, paths.iter().step_by(2))?;
    let halves = network(true)?;
    let compiled = rewrite::fuse(&rewrite::lower(&halves.graph.for_inference())?)?;
    assert!(is_halved(&compiled)?, "weights of 16 bits are not stored so");
    compare(&halves, paths.iter().step_by(4))
}

fn compare<'a>(model: &Model, paths: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    let gpu = Device::Gpu(crate::block_on(gpu(GpuOptions::default())));
    let [mut ours, mut theirs] = [
        Trunk::on(&gpu, &model.graph, &model.preprocessing, 1, None)?,
        Trunk::new(&model.graph, &model.preprocessing, None)?,
    ];
    let mut classes = Vec::new();
    for path in paths {
        let picture = Picture::open(path);
        let (a, b) = (ours.featurize(picture.image())?, theirs.featurize(picture.image())?);
        assert_eq!((a.len(), b.len()), (1000, 1000));
        let cosine = cosine(&a, &b);
        assert!(cosine >= COSINE, "{}: {cosine}", path.display());
        classes.push(b.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class));
    }
    classes.sort();
    classes.dedup();
    assert!(classes.len() >= 5, "the photos are of {} classes: the network sees nothing", classes.len());
    Ok(())
}
