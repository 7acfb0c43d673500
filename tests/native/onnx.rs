//! ONNX files of others against what these compute with them, and ours checked and run by onnx and onnxruntime.
#![expect(clippy::print_stdout, reason = "the measured differences are what a reader of the run wants to see")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use regraft::backend::Session;
use regraft::formats::onnx::{self, Normalization};
use regraft::graph::Graph;
use regraft::ops::{Clamp, Clip, Layout};
use regraft::tensor::TensorType;
use serde::{Deserialize, Serialize};

use crate::common::{Inputs, network};

/// Sums of up to a few hundred f32 products, in another order.
const ONE_LAYER: f32 = 1e-5;
/// Expected values that the onnx package gives with four digits.
const FOUR_DIGITS: f32 = 5e-5;
/// Dozens of such layers one after the other, relative to the largest output.
const NETWORK: f32 = 1e-4;
/// Logits of trained networks on photos; they are around 10.
const LOGITS: f32 = 1e-3;
const LOGITS_COSINE: f64 = 0.99999;
/// What a written file may differ by, in units of `max(1, |y|)`.
const WRITTEN: &str = "1e-4";

#[derive(Serialize, Deserialize)]
struct Array {
    shape: Vec<usize>,
    file: String,
}

#[derive(Serialize, Deserialize)]
struct Run {
    inputs: BTreeMap<String, Array>,
    outputs: Vec<Array>,
}

#[derive(Serialize, Deserialize)]
struct Case {
    name: String,
    model: String,
    runs: Vec<Run>,
}

/// Runs a script of `tests/reference` with the Python that has the judges.
fn script(name: &str, arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing; run scripts/setup", python.display());
    let run = Command::new(python).arg(root.join("tests/reference").join(name)).args(arguments).output();
    let run = run.expect("Python runs");
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name} {arguments:?} failed (are the packages of scripts/setup there?):\n{errors}");
    print!("{}", String::from_utf8_lossy(&run.stdout));
}

type Outputs = Vec<(Vec<usize>, Vec<f32>)>;

fn run(graph: &Graph, inputs: &Inputs) -> regraft::Result<Outputs> {
    let batch = inputs.first().and_then(|(_, shape, _)| shape.first()).copied().unwrap_or(1);
    let mut session = Session::new(graph, batch, None)?;
    let views: Vec<(&str, &[f32])> = inputs.iter().map(|(name, _, x)| (name.as_str(), x.as_slice())).collect();
    session.run(&views)?;
    let output = |at: usize| Ok((session.outputs()[at].1.to_vec(), session.output(at)?.to_vec()));
    (0..session.outputs().len()).map(output).collect()
}

struct Cases {
    folder: PathBuf,
    cases: Vec<Case>,
}

impl Cases {
    fn made_by(kind: &str) -> Self {
        let folder = folder(kind);
        script("onnx_cases.py", &[kind, folder.to_str().expect("a path in UTF-8")]);
        let index = std::fs::read(folder.join("index.json")).expect("index");
        Self { cases: serde_json::from_slice(&index).expect("index"), folder }
    }

    fn model(&self, case: &Case) -> Vec<u8> {
        std::fs::read(self.folder.join(&case.model)).expect("a model of the index")
    }

    fn array(&self, array: &Array) -> Vec<f32> {
        let bytes = std::fs::read(self.folder.join(&array.file)).expect("a file of the index");
        bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    fn inputs(&self, run: &Run) -> Inputs {
        run.inputs.iter().map(|(name, x)| (name.clone(), x.shape.clone(), self.array(x))).collect()
    }

    /// Reads the model, runs it and hands each output with the expected one to `compare`.
    fn judge(&self, case: &Case, compare: impl Fn(&str, &[f32], &[f32])) -> regraft::Result<()> {
        let (graph, _) = onnx::read(&self.model(case), &BTreeMap::new())?;
        for expected in &case.runs {
            let outputs = run(&graph, &self.inputs(expected))?;
            assert_eq!(outputs.len(), expected.outputs.len(), "{}: number of outputs", case.name);
            for (at, ((shape, y), expected)) in outputs.iter().zip(&expected.outputs).enumerate() {
                assert_eq!(shape, &expected.shape, "{}: shape of output {at}", case.name);
                compare(&format!("{}: output {at}", case.name), y, &self.array(expected));
            }
        }
        Ok(())
    }
}

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("onnx-{kind}"))
}

/// Every element, relative to `1 + |e|` or to the largest of all.
fn close(what: &str, y: &[f32], expected: &[f32], tolerance: f32, relative_to_largest: bool) {
    let largest = expected.iter().fold(0f32, |m, e| m.max(e.abs()));
    for (at, (y, e)) in y.iter().zip(expected).enumerate() {
        let scale = if relative_to_largest { largest } else { 1.0 + e.abs() };
        assert!((y - e).abs() <= tolerance * scale, "{what}[{at}] is {y}, not {e}");
    }
}

/// Backend tests that are refused, by what they need.
const REFUSED: &[(&str, &str)] = &[
    (
        "one or three spatial dimensions",
        "averagepool_1d_default averagepool_3d_default averagepool_3d_dilations_small
        averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False
        averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True
        averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False
        averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True
        maxpool_1d_default maxpool_3d_default maxpool_3d_dilations maxpool_3d_dilations_use_ref_impl
        maxpool_3d_dilations_use_ref_impl_large",
    ),
    (
        "training",
        "batchnorm_epsilon_training_mode batchnorm_example_training_mode training_dropout training_dropout_default
        training_dropout_zero_ratio",
    ),
    ("products of stacks of matrices", "matmul_1d_3d matmul_3d matmul_4d matmul_4d_1d matmul_bcast"),
    (
        "means over other than height and width",
        "reduce_mean_default_axes_keepdims_example reduce_mean_default_axes_keepdims_random
        reduce_mean_do_not_keepdims_example reduce_mean_do_not_keepdims_random reduce_mean_keepdims_example
        reduce_mean_keepdims_random reduce_mean_negative_axes_keepdims_example reduce_mean_negative_axes_keepdims_random",
    ),
    (
        "the statistics of a layer norm as outputs",
        "layer_normalization_2d_axis0 layer_normalization_2d_axis1 layer_normalization_2d_axis_negative_1
        layer_normalization_2d_axis_negative_2 layer_normalization_3d_axis0_epsilon
        layer_normalization_3d_axis1_epsilon layer_normalization_3d_axis2_epsilon
        layer_normalization_3d_axis_negative_1_epsilon layer_normalization_3d_axis_negative_2_epsilon
        layer_normalization_3d_axis_negative_3_epsilon layer_normalization_4d_axis0 layer_normalization_4d_axis1
        layer_normalization_4d_axis2 layer_normalization_4d_axis3 layer_normalization_4d_axis_negative_1
        layer_normalization_4d_axis_negative_2 layer_normalization_4d_axis_negative_3
        layer_normalization_4d_axis_negative_4 layer_normalization_default_axis",
    ),
    (
        "norms other than Euclidean ones of whole rows",
        "l1normalization_axis_0 l1normalization_axis_1 l1normalization_axis_last l2normalization_axis_0",
    ),
    ("a slope per channel", "prelu_broadcast prelu_example"),
    ("other factors than the paper's", "selu selu_example"),
    ("slices with steps", "slice_neg_steps"),
    ("results without elements", "slice_start_out_of_bounds"),
];

#[test]
fn operators_compute_what_the_onnx_package_says() {
    let cases = Cases::made_by("nodes");
    let mut refused = BTreeMap::new();
    for case in &cases.cases {
        let rounded = case.name == "averagepool_2d_ceil_last_window_starts_on_pad";
        let tolerance = if rounded { FOUR_DIGITS } else { ONE_LAYER };
        if let Err(error) = cases.judge(case, |what, y, e| close(what, y, e, tolerance, false)) {
            refused.insert(case.name.as_str(), error.to_string());
        }
    }
    let expected: BTreeSet<&str> = REFUSED.iter().flat_map(|(_, names)| names.split_whitespace()).collect();
    let found: BTreeSet<&str> = refused.keys().copied().collect();
    assert_eq!(found, expected, "refused: {refused:#?}");
    println!("{} run, {} are refused", cases.cases.len() - refused.len(), refused.len());
}

#[test]
fn layers_compute_what_pytorch_computed() {
    let cases = Cases::made_by("layers");
    let mut refused = BTreeMap::new();
    for case in &cases.cases {
        let judged = cases.judge(case, |what, y, e| close(what, y, e, ONE_LAYER, false));
        if let Err(error) = judged {
            refused.insert(case.name.as_str(), error.to_string());
        }
    }
    // What the engine does not have is one- and three-dimensional, pads with other than a constant, or has a slope per channel.
    let lacks = ["1d", "3d", "ReflectionPad", "ReplicationPad", "PReLU_2d_multiparam"];
    let other = |name: &&&str| !lacks.iter().any(|part| name.contains(part));
    let surprising: Vec<_> = refused.keys().filter(other).collect();
    assert!(surprising.is_empty(), "{surprising:?} are refused: {refused:#?}");
    assert!(cases.cases.len() - refused.len() >= 20, "{} of {} are refused", refused.len(), cases.cases.len());
}

#[test]
fn networks_of_the_onnx_package_run() {
    let cases = Cases::made_by("networks");
    assert!(cases.cases.len() >= 5, "{} networks", cases.cases.len());
    for case in &cases.cases {
        let judged = cases.judge(case, |what, y, e| close(what, y, e, NETWORK, true));
        judged.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    }
}

#[test]
fn exports_of_torch_and_tensorflow_run_at_any_batch() {
    let cases = Cases::made_by("exports");
    for case in &cases.cases {
        let judged = cases.judge(case, |what, y, e| close(what, y, e, ONE_LAYER, false));
        judged.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    }
}

#[test]
fn logits_on_photos_are_those_of_onnxruntime() {
    let cases = Cases::made_by("zoo");
    for case in &cases.cases {
        let judged = cases.judge(case, |what, y, e| {
            let worst = y.iter().zip(e).map(|(y, e)| (y - e).abs()).fold(0f32, f32::max);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let cosine = dot(y, e) / (dot(y, y) * dot(e, e)).sqrt();
            println!("{what}: largest difference {worst:.1e}, cosine {cosine:.9}");
            assert!(worst <= LOGITS, "{what} differs by {worst}");
            assert!(cosine >= LOGITS_COSINE, "{what} has a cosine of {cosine}");
        });
        judged.unwrap_or_else(|e| panic!("{}: {e}", case.name));
    }
}

/// Files written here, to be judged together.
struct Written {
    folder: PathBuf,
    cases: Vec<Case>,
}

impl Written {
    fn new() -> Self {
        let folder = folder("written");
        std::fs::create_dir_all(&folder).expect("a folder");
        Self { folder, cases: Vec::new() }
    }

    fn array(&self, file: String, shape: &[usize], values: &[f32]) -> Array {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(self.folder.join(&file), bytes).expect("written");
        Array { shape: shape.to_vec(), file }
    }

    /// Writes the graph, and what it computes for the inputs. Read back, it computes the same.
    fn add(
        &mut self,
        name: &str,
        graph: &Graph,
        normalization: Option<&Normalization>,
        inputs: &Inputs,
        expected: &Outputs,
    ) {
        let metadata = BTreeMap::from([("labels".to_owned(), "[\"ä\"]".to_owned())]);
        let bytes = onnx::write(graph, &metadata, normalization).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (back, read) = onnx::read(&bytes, &BTreeMap::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read, metadata, "{name}");
        let again = run(&back, inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
        for ((shape, y), (expected_shape, e)) in again.iter().zip(expected) {
            assert_eq!(shape, expected_shape, "{name}, read back");
            close(&format!("{name}, read back"), y, e, ONE_LAYER, false);
        }
        std::fs::write(self.folder.join(format!("{name}.onnx")), bytes).expect("written");
        let at = |i: usize, kind: &str| format!("{name}.{kind}{i}");
        let inputs =
            inputs.iter().enumerate().map(|(i, (key, shape, x))| (key.clone(), self.array(at(i, "in"), shape, x)));
        let inputs = inputs.collect();
        let outputs = expected.iter().enumerate().map(|(i, (shape, y))| self.array(at(i, "out"), shape, y)).collect();
        self.cases.push(Case { name: name.into(), model: format!("{name}.onnx"), runs: vec![Run { inputs, outputs }] });
    }

    fn judge(self) {
        let index = serde_json::to_vec(&self.cases).expect("index");
        std::fs::write(self.folder.join("index.json"), index).expect("written");
        script("check_onnx.py", &[self.folder.to_str().expect("a path in UTF-8"), WRITTEN]);
    }
}

#[test]
fn written_files_pass_the_checker_and_run_in_onnxruntime() {
    let mut written = Written::new();
    for layout in [Layout::Nchw, Layout::Nhwc] {
        let (graph, inputs) = network(layout);
        let expected = run(&graph, &inputs).expect("runs");
        let name = format!("{layout:?}").to_lowercase();
        written.add(&name, &graph, None, &inputs, &expected);

        let normalization =
            Normalization { scale: 1.0 / 255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
        let plane = 81;
        let channel = |at: usize| if layout == Layout::Nchw { at / plane % 3 } else { at % 3 };
        let pixel =
            |(at, x): (usize, &f32)| (x * normalization.std[channel(at)] + normalization.mean[channel(at)]) * 255.0;
        let pixels =
            inputs.iter().map(|(n, s, x)| (n.clone(), s.clone(), x.iter().enumerate().map(pixel).collect())).collect();
        written.add(&format!("{name}_of_pixels"), &graph, Some(&normalization), &pixels, &expected);
    }
    let cases = Cases::made_by("exports");
    for case in &cases.cases {
        let (graph, _) = onnx::read(&cases.model(case), &BTreeMap::new()).expect("reads");
        let inputs = cases.inputs(&case.runs[case.runs.len() - 1]);
        let expected = run(&graph, &inputs).expect("runs");
        written.add(&case.name, &graph, None, &inputs, &expected);
    }
    written.judge();
}

#[test]
fn names_survive_writing_and_reading() {
    let (graph, _) = network(Layout::Nchw);
    let bytes = onnx::write(&graph, &BTreeMap::new(), None).expect("writes");
    let (back, _) = onnx::read(&bytes, &BTreeMap::new()).expect("reads");
    for (_, vertex) in graph.iter() {
        let found = back.find(&vertex.name).map(|id| back.get(id));
        let found = found.unwrap_or_else(|| panic!("'{}' is lost", vertex.name));
        assert_eq!((&found.op, &found.ty, &found.value), (&vertex.op, &vertex.ty, &vertex.value), "{}", vertex.name);
        assert!(!found.frozen, "{}", vertex.name);
    }
    let names = |g: &Graph| g.outputs().iter().map(|o| g.get(*o).name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&back)[..3], names(&graph)[..3]);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let (graph, _) = network(Layout::Nchw);
    let normalization = Normalization { scale: 1.0, mean: [0.0; 3], std: [1.0; 3] };
    let mut rows = Graph::new();
    let x = rows.input("rows", TensorType::f32([1, 3]), true).expect("input");
    let relu = rows.add("relu", Clip { clamp: Clamp::RELU }, &[x]).expect("relu");
    rows.set_outputs(vec![relu]);
    let error = onnx::write(&rows, &BTreeMap::new(), Some(&normalization)).expect_err("no images");
    assert_eq!(error.code(), "bad-option");
    let fused = regraft::graph::rewrite::fuse(&regraft::graph::rewrite::lower(&graph.for_inference()).expect("lowers"));
    let error = onnx::write(&fused.expect("fuses"), &BTreeMap::new(), None).expect_err("fused");
    assert_eq!(error.code(), "unsupported-op", "{error}");
}
