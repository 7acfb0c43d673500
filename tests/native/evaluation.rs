//! Evaluations against scikit-learn and SciPy, from `reference/evaluation.py`.

use std::collections::BTreeMap;
use std::sync::Arc;

use regraft::Result;
use regraft::data::{FeatureSet, FeatureTensor, Preprocessing, Rng, Stream};
use regraft::eval::Evaluation;
use regraft::formats::safetensors::FloatType;
use regraft::graph::Graph;
use regraft::tensor::TensorType;
use regraft::train::{FitOptions, StoppedBy, Trainer};
use regraft::transfer::{Edit, FineTuneConfiguration, Model};
use serde::Deserialize;
use serde_json::Value;

const REFERENCE: &str = include_str!("../reference/evaluation.json");

/// Both sides compute in doubles, in another order.
const MAX_DIFF: f64 = 1e-12;

#[derive(Deserialize)]
struct Case {
    name: String,
    probabilities: Vec<f32>,
    targets: Vec<f32>,
    expected: Value,
}

fn strings(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix} {i}")).collect()
}

/// One-hot targets.
fn one_hot(actual: &[usize], classes: usize) -> Vec<f32> {
    actual.iter().flat_map(|&a| (0..classes).map(move |c| f32::from(u8::from(a == c)))).collect()
}

/// Asserts that two JSON values agree, numbers within [`MAX_DIFF`].
fn assert_same(path: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().expect("a double"), b.as_f64().expect("a double"));
            assert!((a - b).abs() <= MAX_DIFF, "{path}: {a}, expected {b}");
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            let pairs = a.iter().zip(b).enumerate();
            pairs.for_each(|(i, (a, b))| assert_same(&format!("{path}[{i}]"), a, b));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{path}");
            a.iter().for_each(|(key, a)| assert_same(&format!("{path}.{key}"), a, &b[key]));
        }
        _ => assert_eq!(found, expected, "{path}"),
    }
}

#[test]
fn every_number_is_scikit_learns() {
    let cases: Vec<Case> = serde_json::from_str(REFERENCE).expect("reference");
    assert!(cases.len() >= 11);
    for case in cases {
        let expected = &case.expected;
        let number = |name: &str| expected[name].as_u64().expect("a count") as usize;
        let labels = strings("class", expected["labels"].as_array().expect("labels").len());
        let ids = strings("sample", number("count"));
        let top_n = number("topN");
        let evaluation = Evaluation::new(&case.probabilities, &case.targets, &labels, &ids, top_n).expect("valid");
        assert_same(&case.name, &serde_json::to_value(&evaluation).expect("json"), expected);
    }
}

#[test]
fn nothing_to_judge_gives_zeros() {
    let evaluation = Evaluation::new(&[], &[], &strings("class", 2), &[], 1).expect("valid");
    let json = serde_json::to_value(&evaluation).expect("json");
    for name in ["accuracy", "balancedAccuracy", "topNAccuracy", "loss", "macroF1", "mcc"] {
        assert_eq!(json[name], 0.0, "{name}");
    }
    assert_eq!(json["expectedCalibrationError"], 0.0);
    assert_eq!(evaluation.accuracy_interval95, [0.0, 1.0]);
    assert_eq!(evaluation.confusion_matrix, [[0, 0], [0, 0]]);
    assert!(!evaluation.to_string().is_empty());
}

#[test]
fn a_single_class_is_always_right() {
    let labels = strings("class", 1);
    let evaluation = Evaluation::new(&[1.0; 3], &[1.0; 3], &labels, &strings("sample", 3), 5).expect("valid");
    assert_eq!((evaluation.accuracy, evaluation.top_n_accuracy), (1.0, 1.0));
    assert_eq!((evaluation.mcc, evaluation.per_class[0].roc_auc), (0.0, 0.0));
}

#[test]
fn a_diverged_network_is_judged_too() {
    let targets = one_hot(&[0, 1, 1], 2);
    let probabilities = [f32::NAN, f32::NAN, f32::NAN, f32::INFINITY, 0.0, 0.0];
    let ids = strings("sample", 3);
    let evaluation = Evaluation::new(&probabilities, &targets, &strings("class", 2), &ids, 1).expect("valid");
    assert_eq!(evaluation.confusion_matrix, [[1, 0], [1, 1]]);
    let json = serde_json::to_string(&evaluation).expect("json");
    assert!(!json.contains("null"), "a number is not finite: {json}");
}

#[test]
fn the_report_warns_of_classes_that_are_never_predicted() {
    let labels: Vec<String> = ["daisy", "rose", "tulip", "lily"].map(String::from).to_vec();
    let actual = [0, 0, 1, 2];
    let probabilities = one_hot(&[0, 0, 0, 2], 4);
    let ids = strings("sample", 4);
    let evaluation = Evaluation::new(&probabilities, &one_hot(&actual, 4), &labels, &ids, 2).expect("valid");
    assert_eq!(evaluation.never_predicted(), ["rose"]);
    let expected = "\
4 samples, 4 classes

accuracy            0.7500  (95 %: 0.3006 to 0.9544)
balanced accuracy   0.6667
top-2 accuracy      1.0000
loss               21.8341
macro F1            0.6000
MCC                 0.6455
calibration error   0.2500

class   precision  recall      F1  ROC AUC  samples
daisy      0.6667  1.0000  0.8000   0.7500        2
rose       0.0000  0.0000  0.0000   0.5000        1
tulip      1.0000  1.0000  1.0000   1.0000        1
lily       0.0000       -  0.0000        -        0

actual      1  2  3  4  predicted
daisy    1  2  0  0  0
rose     2  1  0  0  0
tulip    3  0  0  1  0
lily     4  0  0  0  0

Warning: never predicted: rose
";
    assert_eq!(evaluation.to_string(), expected);
}

#[test]
fn lengths_and_options_are_checked() {
    let (labels, ids) = (strings("class", 2), strings("sample", 2));
    let code = |probabilities: &[f32], targets: &[f32], labels: &[String], top_n| {
        Evaluation::new(probabilities, targets, labels, &ids, top_n).map_err(|e| e.code()).err()
    };
    assert_eq!(code(&[0.5; 4], &[0.5; 4], &labels, 1), None);
    assert_eq!(code(&[0.5; 4], &[0.5; 4], &labels, 0), Some("bad-option"));
    assert_eq!(code(&[], &[], &[], 1), Some("bad-option"));
    assert_eq!(code(&[0.5; 3], &[0.5; 4], &labels, 1), Some("internal"));
    assert_eq!(code(&[0.5; 4], &[0.5; 6], &labels, 1), Some("internal"));
}

/// Losses of rows in f32, summed in another order.
const LOSS_TOLERANCE: f64 = 1e-6;

#[test]
fn evaluation_and_validation_have_the_same_loss() -> Result<()> {
    const LABELS: [&str; 3] = ["a", "b", "c"];
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([1, 5]), true)?;
    graph.set_outputs(vec![x]);
    let source = Model {
        graph,
        labels: None,
        preprocessing: Preprocessing::default(),
        configuration: FineTuneConfiguration::default(),
        settings: BTreeMap::new(),
        reinitialized: Vec::new(),
        provenance: BTreeMap::new(),
    };
    let tensors = vec![FeatureTensor { name: "x".into(), shape: [5].into() }];
    let labels = LABELS.map(String::from).to_vec();
    // More rows than one run of a tail takes, and no multiple of that.
    let mut set = FeatureSet::new(tensors, 70, labels, "key".into(), FloatType::F32)?;
    let mut rng = Rng::new(41, Stream::Verify);
    for row in 0..70 {
        let values: Vec<f32> = (0..5).map(|_| rng.normal() as f32).collect();
        set.set(row, rng.below(3), &row.to_string(), &values)?;
    }
    let set = Arc::new(set);
    for (loss, activation) in [("mcxent", "softmax"), ("xent", "sigmoid"), ("mse", "identity"), ("hinge", "tanh")] {
        let edits = serde_json::json!([
            { "type": "addLayer", "name": "y", "inputs": ["x"],
              "layer": { "type": "output", "nOut": 3, "loss": loss, "activation": activation, "lossWeights": [1, 2, 0.5] } },
            { "type": "setOutputs", "names": ["y"] },
            { "type": "setLabels", "labels": LABELS },
        ]);
        let edits: Vec<Edit> = serde_json::from_value(edits).expect("edits");
        let mut model = source.edited(&edits)?;
        let at = ["x".to_owned()];
        let tail = model.split(Some(&at))?.tail;
        let options = FitOptions { epochs: 2, ..FitOptions::default() };
        let mut trainer =
            Trainer::new(&tail, &model.settings, Arc::clone(&set), Some(Arc::clone(&set)), options, None)?;
        while !trainer.step()?.finished {}
        let history = trainer.history(StoppedBy::Epochs);
        model.update(trainer.parameters(StoppedBy::Epochs)?)?;
        let evaluation = model.evaluate(&set, None, Some(&at))?;
        let last = history.epochs.last().expect("an epoch");
        let (valued, judged) = (last.val_loss.expect("validation"), evaluation.loss);
        assert!((valued - judged).abs() < LOSS_TOLERANCE, "{loss}: {judged}, validation has {valued}");
        assert_eq!(last.val_accuracy, Some(evaluation.accuracy), "{loss}");
    }
    Ok(())
}
