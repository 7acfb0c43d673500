//! Files that others wrote.

use std::collections::BTreeMap;

use regraft::formats::{Format, onnx};

use super::judge::{self, Case};

/// Sums of a few hundred products of values around 1 in another order, and an exponential good to 4 ulp.
const TOLERANCE: f32 = 1e-5;

fn failure(folder: &std::path::Path, case: &Case) -> Option<String> {
    let bytes = judge::bytes(folder, case);
    if Format::detect(&bytes) != Some(Format::Onnx) {
        return Some("is not taken for an ONNX file".into());
    }
    let read = onnx::read(&bytes, &BTreeMap::new());
    let graph = match read {
        Ok((graph, _)) => graph,
        Err(e) => return Some(e.to_string()),
    };
    let (inputs, expected) = judge::values(folder, case);
    let found = match judge::run(&graph, &case.inputs, &inputs) {
        Ok(found) => found,
        Err(e) => return Some(format!("does not run: {e}")),
    };
    for ((name, shape), ((found_shape, y), expected)) in case.outputs.iter().zip(found.iter().zip(&expected)) {
        if shape != found_shape {
            return Some(format!("output {name} is {found_shape:?}, not {shape:?}"));
        }
        let error = judge::worst(y, expected);
        if error.is_nan() || error > TOLERANCE {
            return Some(format!("output {name} is off by {error:e}"));
        }
    }
    (found.len() != case.outputs.len()).then(|| format!("{} outputs, not {}", found.len(), case.outputs.len()))
}

#[test]
fn every_operator_set_gives_the_outputs_of_onnxruntime() {
    let folder = judge::folder("onnx_opsets");
    judge::python("onnx_opsets.py", &[folder.to_str().expect("a path in UTF-8")]);
    let cases = judge::cases(&folder);
    assert!(cases.len() > 150, "only {} cases", cases.len());
    let failures: Vec<String> =
        cases.iter().filter_map(|case| failure(&folder, case).map(|why| format!("{}: {why}", case.name))).collect();
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
