//! Python, and the files that both sides exchange.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regraft::backend::Session;
use regraft::graph::Graph;
use regraft::ops::Op;
use serde::{Deserialize, Serialize};

/// A value of a case: its name and shape.
pub(crate) type Value = (String, Vec<usize>);

/// A model with inputs and outputs; the elements lie beside it in `<name>.bin`, inputs first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
}

/// An empty folder under `target/reference`.
pub(crate) fn folder(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo's folder lies in the target folder");
    let folder = target.join("reference").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("can be emptied");
    }
    fs::create_dir_all(&folder).expect("can be made");
    folder
}

/// Runs a script of `tests/reference` with the packages of `requirements-test.txt` and returns what it prints.
pub(crate) fn python(script: &str, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: run scripts/setup", python.display());
    let run = Command::new(&python).arg(root.join("tests/reference").join(script)).args(arguments).output();
    let run = run.unwrap_or_else(|e| panic!("{} does not start: {e}; run scripts/setup", python.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(run.status.success(), "{script} fails:\n{}{}", text(&run.stdout), text(&run.stderr));
    text(&run.stdout)
}

pub(crate) fn cases(folder: &Path) -> Vec<Case> {
    let manifest = fs::read(folder.join("manifest.json")).expect("a manifest");
    serde_json::from_slice(&manifest).expect("a list of cases")
}

pub(crate) fn bytes(folder: &Path, case: &Case) -> Vec<u8> {
    fs::read(folder.join(format!("{}.onnx", case.name))).expect("a model")
}

/// Elements of all inputs and of all outputs.
pub(crate) fn values(folder: &Path, case: &Case) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let bytes = fs::read(folder.join(format!("{}.bin", case.name))).expect("elements");
    let mut elements = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    let mut take = |values: &[Value]| -> Vec<Vec<f32>> {
        values.iter().map(|(_, shape)| elements.by_ref().take(shape.iter().product()).collect()).collect()
    };
    (take(&case.inputs), take(&case.outputs))
}

/// Runs a graph on named inputs; the batch is the first extent of the first input that has one.
pub(crate) fn run(
    graph: &Graph,
    inputs: &[Value],
    values: &[Vec<f32>],
) -> regraft::Result<Vec<(Vec<usize>, Vec<f32>)>> {
    let batched = |name: &str| {
        let id = graph.find(name)?;
        matches!(&graph.get(id).op, Op::Input(input) if input.batched).then_some(())
    };
    let batch = inputs.iter().find_map(|(name, shape)| batched(name).and(shape.first().copied())).unwrap_or(1);
    let mut session = Session::new(graph, batch, None)?;
    let named: Vec<(&str, &[f32])> =
        inputs.iter().zip(values).map(|((name, _), values)| (name.as_str(), values.as_slice())).collect();
    session.run(&named)?;
    let tensors = session.tensors()?;
    Ok(tensors.into_iter().map(|(_, t)| (t.shape().to_vec(), t.as_f32().unwrap_or_default().to_vec())).collect())
}

/// Largest `|y − expected| / max(1, |expected|)`; NaN ranks above everything.
pub(crate) fn worst(y: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(y.len(), expected.len(), "numbers of elements");
    let errors = y.iter().zip(expected).map(|(y, e)| if y == e { 0.0 } else { (y - e).abs() / e.abs().max(1.0) });
    errors.fold(0.0, |worst, e| if e <= worst { worst } else { e })
}
