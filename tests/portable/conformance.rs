//! Every case of every op: the CPU kernels against a naive `f64` reference, natively and in the browser.

use std::collections::{HashMap, HashSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft::ops::{Case, Function, Op, all_cases};
use regraft::tensor::{Shape, TensorType};

/// Seed of all drawn values; failures print it.
const SEED: u64 = 20_240_613;

/// Ops that only move, select or compare values: bit for bit.
const EXACT: f64 = 0.0;
/// Sums of up to a few hundred products of values around 1, each rounded to 2⁻²⁴, in an order of the kernel's choice, fused
/// or not: the largest seen over all builds is 2.2e-6.
const ROUNDED: f64 = 5e-6;
/// The same through Winograd's transforms, which amplify rounding; taken where 3×3 filters are constant.
const TRANSFORMED: f64 = 2e-5;
/// The kernels' exponential is good to 4 ulp, and its argument of up to 16 carries half an ulp of its own.
const EXPONENTIAL: f64 = 4e-6;

/// Below this size, errors are absolute: where values around 1 cancel, the result knows nothing of its own size.
const CANCELS: f64 = 1.0;
/// Products and quotients keep their relative precision down to where floats become subnormal and the exponential saturates.
const KEEPS: f64 = 1e-30;

/// Largest `|y − reference| / max(size, |reference|)`, and that size.
fn tolerance(op: &Op) -> (f64, f64) {
    match op {
        Op::Clip(_) | Op::ClipGrad(_) | Op::MaxPool(_) | Op::Maximum(_) | Op::MaximumGrad(_) => (EXACT, CANCELS),
        Op::BroadcastLike(_) | Op::Concat(_) | Op::Slice(_) | Op::Pad(_) => (EXACT, CANCELS),
        Op::Reshape(_) | Op::ReshapeLike(_) | Op::Flatten(_) | Op::Transpose(_) | Op::Dropout(_) => (EXACT, CANCELS),
        Op::Scale(_) | Op::Multiply(_) => (ROUNDED, KEEPS),
        Op::Sigmoid(_) | Op::Softmax(_) => (EXPONENTIAL, KEEPS),
        // These carry the rounding of a square or a sum into an exponential or a difference.
        Op::Activate(op) => match op.function {
            Function::Gelu | Function::GeluTanh | Function::HardSigmoid { .. } | Function::HardSwish => {
                (EXPONENTIAL, CANCELS)
            }
            _ => (EXPONENTIAL, KEEPS),
        },
        Op::ActivateGrad(_) => (EXPONENTIAL, CANCELS),
        Op::SoftmaxNll(_) | Op::SoftmaxNllGrad(_) => (EXPONENTIAL, CANCELS),
        _ => (ROUNDED, CANCELS),
    }
}

/// Whether constant filters are transformed.
fn is_transformed(case: &Case) -> bool {
    let wide = |filters: &Shape| filters.starts_with(&[3, 3]) && filters[2] >= 16;
    matches!(&case.op, Op::Conv2d(conv) if conv.window.stride == [1, 1]) && wide(&case.inputs[1].shape)
}

/// Error and index of the worst element.
fn worst(y: &[f32], expected: &[f64], size: f64) -> (f64, usize) {
    let error = |(y, e): (&f32, &f64)| match (f64::from(*y) - e).abs() / e.abs().max(size) {
        // NaN ranks above everything, but for ±∞ where it is expected.
        error if error.is_nan() && f64::from(*y) != *e => f64::INFINITY,
        error => error,
    };
    y.iter().zip(expected).map(error).zip(0..).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0))
}

fn check(case: &Case, index: usize) -> Result<(), String> {
    let (x, other) = (case.draw(SEED + index as u64), case.draw(SEED ^ 1));
    let expected: Vec<f64> = case.op.reference(&case.to_f64(&x)).iter().copied().collect();
    for fixed in [false, true] {
        let about = || format!("case {index}, {case:?}, weights prepared: {fixed}, seed {SEED}");
        let y = case.eval_cpu(&x, &other, fixed).map_err(|e| format!("{}: {}", about(), e.0))?;
        if y.len() != expected.len() {
            return Err(format!("{}: {} elements, the reference has {}", about(), y.len(), expected.len()));
        }
        let (allowed, size) = match tolerance(&case.op) {
            (_, size) if fixed && is_transformed(case) => (TRANSFORMED, size),
            tolerance => tolerance,
        };
        let (error, at) = worst(&y, &expected, size);
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
    let cases = all_cases();
    let ops: HashSet<&str> = cases.iter().map(|case| case.op.name()).collect();
    let failures: Vec<_> = cases.iter().enumerate().filter_map(|(i, case)| check(case, i).err()).collect();
    eprintln!("{} cases of {} ops, each with weights that are packed before and that are not", cases.len(), ops.len());
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

/// Shapes of any rank but no empty ones, which a graph refuses: nothing panics, and what is accepted is computed right.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn drawn_shapes_are_refused_or_agree() {
    const TRIES: usize = 50;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut accepted, mut failures) = (0, Vec::new());
    for (index, mut case) in all_cases().into_iter().enumerate() {
        let original = case.inputs.clone();
        for _ in 0..TRIES {
            case.inputs.clone_from(&original);
            for input in &mut case.inputs {
                let mut dims = input.shape.to_vec();
                match rng.random_range(0..4) {
                    0 => dims = (0..rng.random_range(0..6)).map(|_| rng.random_range(1..5)).collect(),
                    1 if !dims.is_empty() => dims[rng.random_range(0..input.shape.rank())] = rng.random_range(1..9),
                    _ => {}
                }
                input.shape = Shape::from(dims);
            }
            if case.inputs != original && case.op.infer(&case.types().iter().collect::<Vec<_>>()).is_ok() {
                accepted += 1;
                failures.extend(check(&case, index).err());
            }
        }
    }
    assert!(accepted > TRIES, "only {accepted} drawn shapes were accepted: the test tries too little");
    assert!(failures.is_empty(), "{} of {accepted} drawn cases fail:\n{}", failures.len(), failures.join("\n"));
}
