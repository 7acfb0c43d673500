//! Every case of every op: the CPU kernels against a naive `f64` reference, natively and in the browser.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft::ops::{Case, Op, all_cases};
use regraft::tensor::{Shape, TensorType};

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// Seed of all drawn values; failures print it.
const SEED: u64 = 20_240_613;

/// Ops that only move, select or compare values: bit for bit.
const EXACT: f64 = 0.0;
/// Sums of up to a few hundred products of values around 1, each rounded to 2⁻²⁴, in an order of the kernel's choice.
const ROUNDED: f64 = 2e-6;
/// The kernels' exponential is good to 4 ulp, and its argument of up to 10 carries half an ulp of its own.
const EXPONENTIAL: f64 = 4e-6;

/// Largest `|y − reference| / max(1, |reference|)`; nothing else is op-specific in this test.
fn tolerance(op: &Op) -> f64 {
    match op {
        Op::Input(_) | Op::Parameter(_) | Op::Constant(_) => EXACT,
        Op::Clip(_) | Op::ClipGrad(_) | Op::MaxPool(_) => EXACT,
        Op::BroadcastLike(_) | Op::Concat(_) | Op::Slice(_) | Op::Pad(_) => EXACT,
        Op::Reshape(_) | Op::ReshapeLike(_) | Op::Flatten(_) | Op::Transpose(_) | Op::Dropout(_) => EXACT,
        Op::Sigmoid(_) | Op::Softmax(_) | Op::SoftmaxNll(_) | Op::SoftmaxNllGrad(_) => EXPONENTIAL,
        _ => ROUNDED,
    }
}

/// Worst element of `y` in units of the tolerance's scale, with its index.
fn worst(y: &[f32], expected: &[f64]) -> (f64, usize) {
    let error = |(y, e): (&f32, &f64)| (f64::from(*y) - e).abs() / e.abs().max(1.0);
    // NaN ranks above everything.
    let errors = y.iter().zip(expected).map(error).map(|e| if e.is_nan() { f64::INFINITY } else { e });
    errors.zip(0..).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0))
}

fn check(case: &Case, index: usize) -> Result<(), String> {
    let (x, other) = (case.draw(SEED + index as u64), case.draw(SEED ^ 1));
    let expected: Vec<f64> = case.op.reference(&case.to_f64(&x)).iter().copied().collect();
    for fixed in [false, true] {
        let about = || format!("case {index}, {:?}, weights prepared: {fixed}, seed {SEED}", case);
        let y = case.eval_cpu(&x, &other, fixed).map_err(|e| format!("{}: {}", about(), e.0))?;
        if y.len() != expected.len() {
            return Err(format!("{}: {} elements, the reference has {}", about(), y.len(), expected.len()));
        }
        let (error, at) = worst(&y, &expected);
        let allowed = tolerance(&case.op);
        if error > allowed {
            return Err(format!(
                "{}: element {at} is {}, the reference {}: error {error:e} above {allowed:e}",
                about(),
                y[at],
                expected[at]
            ));
        }
    }
    Ok(())
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn cpu_agrees_with_the_references() {
    let failures: Vec<_> = all_cases().iter().enumerate().filter_map(|(i, case)| check(case, i).err()).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn the_inferred_shape_is_that_of_the_reference() {
    for (index, case) in all_cases().iter().enumerate() {
        let types = case.types();
        let inferred = case.op.infer(&types.iter().collect::<Vec<_>>());
        let shape = case.op.reference(&case.to_f64(&case.draw(SEED))).shape().to_vec();
        assert_eq!(inferred, Ok(TensorType::f32(shape)), "case {index}, {case:?}");
    }
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn every_op_has_cases() {
    let mut count: HashMap<&str, usize> = Op::NAMES.iter().map(|name| (*name, 0)).collect();
    assert_eq!(count.len(), Op::NAMES.len(), "two ops share a name");
    for case in all_cases() {
        *count.entry(case.op.name()).or_default() += 1;
    }
    count.retain(|name, count| *count < 2 && !["input", "parameter", "constant"].contains(name));
    assert!(count.is_empty(), "ops with fewer than 2 cases: {count:?}");
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn ops_survive_json() -> Result<(), serde_json::Error> {
    for case in all_cases() {
        let json = serde_json::to_string(&case.op)?;
        assert_eq!(serde_json::from_str::<Op>(&json)?, case.op, "{json}");
    }
    Ok(())
}

/// Fewer inputs, more inputs, integers: refused with a reason, whatever the op.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn wrong_inputs_are_refused() {
    for case in all_cases() {
        let types = case.types();
        let mut wrong = vec![(types.clone(), "integers")];
        wrong[0].0[0].dtype = regraft::tensor::DType::I32;
        if !matches!(case.op, Op::Concat(_)) {
            wrong.push((types[1..].to_vec(), "one input missing"));
            wrong.push(([&types[..], &types[..1]].concat(), "one input too many"));
        }
        wrong.push((Vec::new(), "no inputs"));
        for (types, what) in wrong {
            let refused = case.op.infer(&types.iter().collect::<Vec<_>>());
            assert!(refused.is_err_and(|e| !e.0.is_empty()), "{:?} accepts {what}", case.op);
        }
    }
}

/// Shapes of any rank, and evaluation where they are accepted: files choose both. (A graph has no empty values.)
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn no_shapes_make_an_op_panic() {
    const TRIES: usize = 50;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut accepted = 0;
    for mut case in all_cases() {
        let original = case.inputs.clone();
        for _ in 0..TRIES {
            case.inputs.clone_from(&original);
            for input in &mut case.inputs {
                input.value_of = None;
                let mut dims = input.shape.to_vec();
                match rng.random_range(0..4) {
                    0 => dims = (0..rng.random_range(0..6)).map(|_| rng.random_range(1..5)).collect(),
                    1 if !dims.is_empty() => dims[rng.random_range(0..input.shape.rank())] = rng.random_range(1..9),
                    _ => {}
                }
                input.shape = Shape::from(dims);
            }
            let x = case.draw(SEED);
            accepted += usize::from(case.eval_cpu(&x, &x, false).is_ok());
        }
    }
    assert!(accepted > TRIES, "only {accepted} drawn shapes were accepted: the test tries too little");
}
