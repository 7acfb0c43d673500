//! Zoo networks with their published weights, on photos of ImageNet.

use std::fs;
use std::path::PathBuf;

use regraft::backend::Session;
use regraft::data::Image;
use regraft::formats::pytorch;
use regraft::zoo::{Architecture, Weights, ZooModel};

use crate::pictures::Picture;

/// Photos in the folder.
const PHOTOS: usize = 20;

/// Photos that onnxruntime and Pillow recognise with these weights, less one: a photo is on the edge of two classes, and JPEG
/// decoders differ in the last bits.
const HITS_EFFICIENTNET: usize = 18 - 1;
const HITS_MOBILENET: usize = 18 - 1;
const HITS_SQUEEZENET: usize = 14 - 1;

/// Of a sum of 1000 probabilities in f32.
const SUM_TOLERANCE: f32 = 1e-4;

fn asset(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets").join(name);
    assert!(path.exists(), "{} is missing; run scripts/assets", path.display());
    path
}

fn checkpoint(name: &str) -> pytorch::StateDict {
    pytorch::read(&fs::read(asset(name)).expect("readable")).expect("a checkpoint")
}

fn load(architecture: Architecture, file: &str) -> ZooModel {
    let state = checkpoint(file);
    assert_eq!(Architecture::detect(&state), Some(architecture), "{file}");
    architecture.build(Weights::State(state)).expect("builds")
}

/// Pixels as the network takes them, NCHW, and the class the file name ends in.
fn photos(model: &ZooModel) -> Vec<(usize, Vec<f32>)> {
    let mut files: Vec<_> =
        fs::read_dir(asset("imagenet")).expect("a folder").map(|f| f.expect("a file").path()).collect();
    files.sort();
    assert_eq!(files.len(), PHOTOS);
    let read = |path: &PathBuf| {
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("a name");
        let class = stem.rsplit('_').next().and_then(|n| n.parse().ok()).expect("a number");
        (class, nchw(model, Picture::open(path).image()))
    };
    files.iter().map(read).collect()
}

fn nchw(model: &ZooModel, image: Image<'_>) -> Vec<f32> {
    let size = model.preprocessing.size;
    let cells = (size.width * size.height) as usize;
    let mut nhwc = vec![f32::NAN; 3 * cells];
    model.preprocessing.preprocess(image, &mut nhwc).expect("preprocesses");
    (0..3 * cells).map(|i| nhwc[i % cells * 3 + i / cells]).collect()
}

fn run(session: &mut Session, x: &[f32]) -> Vec<f32> {
    session.run(&[("input", x)]).expect("runs");
    session.output(0).expect("an output").to_vec()
}

fn best(probabilities: &[f32]) -> usize {
    let (class, _) = probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("classes");
    class
}

/// Classifies all photos; at least `hits` of them right.
fn assert_recognises(model: &ZooModel, hits: usize) {
    let mut session = Session::new(&model.graph, 1, None).expect("plans");
    assert_eq!(session.outputs()[0], ("predictions".to_owned(), [1, 1000].into()));
    let photos = photos(model);
    let right = photos.iter().filter(|(class, x)| {
        let y = run(&mut session, x);
        assert!((y.iter().sum::<f32>() - 1.0).abs() < SUM_TOLERANCE, "probabilities of {class} do not sum to 1");
        best(&y) == *class
    });
    let right = right.count();
    assert!(right >= hits, "{right} of {PHOTOS} photos are recognised, not {hits}");
}

#[test]
fn efficientnet_lite0_recognises_photos() {
    assert_recognises(&load(Architecture::EfficientnetLite0, "efficientnet_lite0.pth"), HITS_EFFICIENTNET);
}

#[test]
fn mobilenet_v2_recognises_photos() {
    assert_recognises(&load(Architecture::MobilenetV2, "mobilenet_v2.pth"), HITS_MOBILENET);
}

#[test]
fn squeezenet_recognises_photos() {
    assert_recognises(&load(Architecture::Squeezenet1_1, "squeezenet1_1.pkl"), HITS_SQUEEZENET);
}
