//! Model files of all formats, changed at random: reading, planning and running them ends in a result or an error, never in a panic.
#![expect(clippy::print_stdout, reason = "the seed and the fates are what a reader of a failed run wants to see")]

use std::collections::BTreeMap;

use crate::common::network;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft::backend::Session;
use regraft::formats::safetensors::FloatType;
use regraft::formats::{Format, onnx, regraft as native};
use regraft::graph::Graph;
use regraft::ops::{Layout, Op};
use serde_json::{Value, json};

const SEED: u64 = 31;
/// Files tried of each kind.
const ROUNDS: usize = 4000;
/// What a file may ask for, so that one which fits nowhere is refused before it runs.
const BUDGET: u64 = 1 << 26;

/// How far files get.
#[derive(Debug, Default)]
struct Fates {
    ran: usize,
    refused: BTreeMap<&'static str, usize>,
}

impl Fates {
    fn of(&mut self, read: regraft::Result<Graph>) {
        match read.and_then(|graph| run(&graph)) {
            Ok(()) => self.ran += 1,
            Err(error) => *self.refused.entry(error.code()).or_default() += 1,
        }
    }

    /// A reader that refuses everything, or that notices nothing, is not tested.
    fn check(&self) {
        println!("seed {SEED}: {self:?}");
        assert!(self.ran > ROUNDS / 20, "{self:?}");
        assert!(self.refused.values().sum::<usize>() > ROUNDS / 20, "{self:?}");
        assert!(!self.refused.contains_key("internal"), "an error that is the file's is called ours: {self:?}");
    }
}

fn run(graph: &Graph) -> regraft::Result<()> {
    let mut session = Session::new(graph, 1, Some(BUDGET))?;
    let single = graph.with_batch(1)?;
    let inputs = single.inputs().iter().map(|id| single.get(*id));
    let inputs: Vec<(&str, Vec<f32>)> = inputs.map(|v| (v.name.as_str(), vec![0.5; v.ty.shape.len()])).collect();
    let views: Vec<(&str, &[f32])> = inputs.iter().map(|(name, x)| (*name, x.as_slice())).collect();
    session.run(&views)?;
    graph.summary()?;
    session.tensors().map(drop)
}

#[test]
fn onnx_files() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut fates = Fates::default();
    let good = [Layout::Nchw, Layout::Nhwc]
        .map(|layout| onnx::write(&network(layout).0, &BTreeMap::new(), None).expect("writes"));
    for round in 0..ROUNDS {
        let mut bytes = good[round % 2].clone();
        for _ in 0..rng.random_range(1..=3) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.next_u32() as u8,
                1 => bytes[at] ^= 1 << rng.random_range(0..8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, [0, 1, 0x7f, 0xff][rng.random_range(0..4)]),
            }
        }
        fates.of(onnx::read(&bytes, &BTreeMap::new()).map(|(graph, _)| graph));
    }
    fates.check();
}

/// The JSON header of a safetensors file, and the tensors behind it.
fn parts(file: &[u8]) -> (Value, Vec<u8>) {
    let (len, rest) = file.split_first_chunk::<8>().expect("a header");
    let (header, tensors) = rest.split_at(u64::from_le_bytes(*len) as usize);
    (serde_json::from_slice(header).expect("JSON"), tensors.to_vec())
}

fn joined(header: &Value, tensors: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), tensors].concat()
}

/// Changes one random place of a JSON value.
fn change(value: &mut Value, rng: &mut ChaCha8Rng) {
    match value {
        Value::Object(map) if !map.is_empty() && rng.random_range(0..20) > 0 => {
            let key = map.keys().nth(rng.random_range(0..map.len())).cloned().expect("a key");
            match rng.random_range(0..20) {
                0 => drop(map.remove(&key)),
                _ => change(&mut map[&key], rng),
            }
        }
        Value::Array(list) if !list.is_empty() && rng.random_range(0..20) > 0 => {
            let at = rng.random_range(0..list.len());
            match rng.random_range(0..20) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[at].clone()),
                2 => list.swap(at, 0),
                _ => change(&mut list[at], rng),
            }
        }
        Value::Number(number) => {
            let old = number.as_u64().unwrap_or(0);
            let numbers = [
                json!(old.wrapping_add(1)),
                json!(old.saturating_sub(1)),
                json!(0),
                json!(3),
                json!(-1),
                json!(0.5),
                json!(1e39),
            ];
            let huge = [json!(1u64 << 20), json!(1u64 << 40), json!(u64::MAX)];
            *value = numbers.into_iter().chain(huge).nth(rng.random_range(0..10)).expect("a number");
        }
        Value::String(_) => *value = Op::NAMES[rng.random_range(0..Op::NAMES.len())].into(),
        Value::Bool(flag) => *flag = !*flag,
        _ => *value = [json!(null), json!(0), json!("nhwc"), json!([]), json!({})][rng.random_range(0..5)].clone(),
    }
}

#[test]
fn regraft_files() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut fates = Fates::default();
    for layout in [Layout::Nchw, Layout::Nhwc] {
        let good = native::write(&network(layout).0, &BTreeMap::new(), FloatType::F32).expect("writes");
        assert_eq!(Format::detect(&good), Some(Format::Regraft));
        let (header, tensors) = parts(&good);
        let document: Value = header["__metadata__"]["regraft.graph"].as_str().expect("a graph").parse().expect("JSON");
        for _ in 0..ROUNDS / 2 {
            let (mut header, mut document) = (header.clone(), document.clone());
            for _ in 0..rng.random_range(1..=2) {
                change(&mut document, &mut rng);
            }
            header["__metadata__"]["regraft.graph"] = document.to_string().into();
            fates.of(native::read(&joined(&header, &tensors)).map(|(graph, _)| graph));
        }
    }
    fates.check();
}

#[test]
fn regraft_files_come_back_as_they_were() {
    let (mut graph, _) = network(Layout::Nhwc);
    graph = graph.for_inference();
    let metadata = BTreeMap::from([("regraft.labels".to_owned(), "[\"ä\"]".to_owned())]);
    for (dtype, exact) in [(FloatType::F32, true), (FloatType::F16, false)] {
        let bytes = native::write(&graph, &metadata, dtype).expect("writes");
        let (back, read) = native::read(&bytes).expect("reads");
        assert_eq!(read, metadata);
        assert_eq!(back == graph, exact, "{dtype:?}");
        assert_eq!(back.len(), graph.len());
    }
}

#[test]
fn regraft_files_hold_networks_alone() {
    let (graph, _) = network(Layout::Nchw);
    let lowered = regraft::graph::rewrite::lower(&graph.for_inference()).expect("lowers");
    let fused = regraft::graph::rewrite::fuse(&lowered).expect("fuses");
    let error = native::write(&fused, &BTreeMap::new(), FloatType::F32).expect_err("fused");
    assert_eq!(error.code(), "unsupported-op", "{error}");

    let good = native::write(&graph, &BTreeMap::new(), FloatType::F32).expect("writes");
    let (header, tensors) = parts(&good);
    let read = |patch: &dyn Fn(&mut Value, &mut Value)| {
        let mut header = header.clone();
        let text = header["__metadata__"]["regraft.graph"].as_str().expect("a graph").to_owned();
        let mut document: Value = text.parse().expect("JSON");
        patch(&mut header["__metadata__"], &mut document);
        header["__metadata__"]["regraft.graph"] = document.to_string().into();
        native::read(&joined(&header, &tensors))
    };
    let refused = |code: &str, why: &str, patch: &dyn Fn(&mut Value, &mut Value)| {
        let error = read(patch).expect_err(why);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(why), "'{error}' does not say '{why}'");
    };
    let at = |document: &Value, name: &str| {
        let vertices = document["vertices"].as_array().expect("vertices");
        vertices.iter().position(|v| v["name"] == name).expect("a vertex")
    };
    read(&|_, _| ()).expect("reads as it is");
    refused("format", "version 2 is not 1", &|metadata, _| metadata["regraft.version"] = "2".into());
    refused("format", "no output", &|_, document| document["outputs"] = json!([]));
    refused("format", "output 999", &|_, document| document["outputs"] = json!([999]));
    refused("format", "'relu' reads vertex 40", &|_, document| {
        let relu = at(document, "relu");
        document["vertices"][relu]["inputs"] = json!([40]);
    });
    refused("conflict", "the name is taken", &|_, document| {
        let relu = at(document, "relu");
        document["vertices"][relu]["name"] = "norm".into();
    });
    refused("format", "the tensor of 'other' is missing", &|_, document| {
        let weight = at(document, "head.weight");
        document["vertices"][weight]["name"] = "other".into();
    });
    refused("unsupported-op", "sgd ('relu')", &|_, document| {
        let relu = at(document, "relu");
        document["vertices"][relu] = json!({ "name": "relu", "op": "sgd", "inputs": [0, 0, 0] });
    });
}
