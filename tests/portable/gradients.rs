//! Every gradient rule against central differences, both of the `f64` references: what is judged is the rule, not rounding.

use std::collections::BTreeSet;

use ndarray::ArrayD;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft::graph::rewrite::batch_statistics;
use regraft::graph::{Graph, VertexId, gradient::gradients};
use regraft::ops::{BatchNorm, Case, Layout, Op, Role, all_cases};
use regraft::tensor::{Tensor, TensorType};

/// Seed of all drawn values; failures print it.
const SEED: u64 = 20_240_613;
/// Step of the differences: their error is about `STEP²` from curvature and 10⁻¹⁶·|f| / `STEP` from rounding.
const STEP: f64 = 1e-5;
/// Above both errors of the differences, below any error of a rule.
const RELATIVE: f64 = 1e-4;
/// Rounding of differences of sums of up to 100, where the gradient itself is 0.
const ABSOLUTE: f64 = 1e-8;
/// Elements tried one by one in each input; a random direction judges all of them together.
const ELEMENTS: usize = 48;

/// Ops that take no gradient: gradients themselves and updaters.
const WITHOUT_GRADIENT: &[&str] = &[
    "activate_grad",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "amsgrad",
    "avg_pool_grad",
    "batch_mean",
    "batch_norm_gamma_grad",
    "batch_variance",
    "clip_grad",
    "constrain_norm",
    "constrain_sign",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "depthwise_conv2d_input_grad",
    "depthwise_conv2d_weight_grad",
    "l2_normalize_grad",
    "layer_norm_grad",
    "max_pool_grad",
    "maximum_grad",
    "moving_average",
    "normalize_batch_grad",
    "nadam",
    "nesterovs",
    "penalize",
    "rmsprop",
    "row_loss_grad",
    "scale_norm",
    "sgd",
    "sigmoid_grad",
    "softmax_grad",
    "softmax_nll_grad",
    "sum_squares",
    "weight_decay",
];

/// Fused by a rewrite that runs after gradients are taken.
fn is_fused(op: &Op) -> bool {
    match op {
        Op::Conv2d(op) => op.residual || op.clamp.is_some(),
        Op::DepthwiseConv2d(op) => op.clamp.is_some(),
        Op::Dense(op) => op.clamp.is_some(),
        Op::BatchNorm(op) => op.clamp.is_some(),
        Op::NormalizeBatch(op) => op.clamp.is_some(),
        _ => false,
    }
}

/// Values of all vertices, computed by the references.
fn evaluate(g: &Graph, inputs: &[(VertexId, &ArrayD<f64>)]) -> Vec<ArrayD<f64>> {
    let mut values: Vec<ArrayD<f64>> = Vec::new();
    for (id, vertex) in g.iter() {
        let given = inputs.iter().find(|(input, _)| *input == id);
        values.push(match (given, &vertex.value) {
            (Some((_, value)), _) => (*value).clone(),
            (None, Some(stored)) => stored.to_f64(),
            (None, None) => {
                let x: Vec<_> = vertex.inputs.iter().map(|i| values[i.index()].clone()).collect();
                vertex.op.reference(&x)
            }
        });
    }
    values
}

/// The op on its own, `⟨y, dy⟩` as the scalar to differentiate.
struct Probe<'a> {
    op: &'a Op,
    x: Vec<ArrayD<f64>>,
    dy: ArrayD<f64>,
}

impl Probe<'_> {
    /// Derivative in input `index` along `direction`.
    fn difference(&self, index: usize, direction: &ArrayD<f64>) -> f64 {
        let scalar = |step: f64| {
            let mut x = self.x.clone();
            x[index].zip_mut_with(direction, |x, d| *x += step * d);
            (self.op.reference(&x) * &self.dy).sum()
        };
        (scalar(STEP) - scalar(-STEP)) / (2.0 * STEP)
    }
}

/// The gradient the rule gives in each input; `None` where it gives none.
fn by_rule(case: &Case, probe: &Probe<'_>) -> regraft::Result<Vec<Option<ArrayD<f64>>>> {
    let mut g = Graph::new();
    let mut x = Vec::new();
    for (i, ty) in case.types().into_iter().enumerate() {
        x.push(g.input(format!("x{i}"), ty, false)?);
    }
    let v = g.add("v", case.op.clone(), &x)?;
    let dy = g.input("dy", g.get(v).ty.clone(), false)?;
    let gradients = gradients(&mut g, &[(v, dy)], &x)?;
    let mut given: Vec<_> = x.iter().copied().zip(&probe.x).collect();
    given.push((dy, &probe.dy));
    let values = evaluate(&g, &given);
    for (dx, x) in gradients.iter().zip(&x).filter_map(|(dx, x)| dx.map(|dx| (dx, x))) {
        assert_eq!(g.get(dx).ty, g.get(*x).ty, "{:?}: the gradient has another type than its input", case.op);
    }
    Ok(gradients.into_iter().map(|dx| dx.map(|dx| values[dx.index()].clone())).collect())
}

fn compare(case: &Case, index: usize) -> Result<(), String> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED + index as u64);
    let mut uniform = |shape: &[usize]| ArrayD::from_shape_simple_fn(shape, || rng.random_range(-1.0..1.0));
    let x = case.to_f64(&case.draw(SEED + index as u64));
    let dy = uniform(case.op.reference(&x).shape());
    let directions: Vec<_> = x.iter().map(|x| uniform(x.shape())).collect();
    let probe = Probe { op: &case.op, x, dy };
    let about = |input: usize| format!("case {index}, {case:?}, input {input}, seed {SEED}");
    let gradients = by_rule(case, &probe).map_err(|e| format!("{}: {e}", about(0)))?;
    for (i, gradient) in gradients.into_iter().enumerate().filter(|(i, _)| case.inputs[*i].differentiable) {
        let gradient = gradient.ok_or_else(|| format!("{}: the rule gives no gradient", about(i)))?;
        let along = |direction: &ArrayD<f64>, what: &str| {
            let (rule, difference) = ((&gradient * direction).sum(), probe.difference(i, direction));
            let allowed = ABSOLUTE + RELATIVE * rule.abs().max(difference.abs());
            // Written so that NaN fails.
            let agrees = (rule - difference).abs() <= allowed;
            agrees.then_some(()).ok_or_else(|| format!("{}, {what}: rule {rule}, differences {difference}", about(i)))
        };
        along(&directions[i], "along a random direction")?;
        let len = gradient.len();
        for n in 0..len.min(ELEMENTS) {
            let at = if len <= ELEMENTS { n } else { rng.random_range(0..len) };
            let mut one = ArrayD::zeros(gradient.shape());
            one.iter_mut().nth(at).into_iter().for_each(|x| *x = 1.0);
            along(&one, &format!("element {at}"))?;
        }
    }
    Ok(())
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn rules_agree_with_central_differences() {
    let cases = all_cases();
    let judged =
        cases.iter().enumerate().filter(|(_, case)| !WITHOUT_GRADIENT.contains(&case.op.name()) && !is_fused(&case.op));
    let failures: Vec<_> = judged.filter_map(|(i, case)| compare(case, i).err()).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

/// Batch norm in training is three vertices: the gradient passes through the mean and the variance of the batch too.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn batch_norm_in_training_agrees_with_central_differences() -> regraft::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut uniform = |shape: &[usize]| ArrayD::from_shape_simple_fn(shape, || rng.random_range(-1.0..1.0));
    let (shape, channels) = ([3, 4, 2, 5], [5]);
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32(shape), true)?;
    let mut inputs = vec![x];
    for (name, role, value) in [
        ("gamma", Role::Gamma, 0.7),
        ("beta", Role::Beta, 0.2),
        ("mean", Role::Mean, 3.0),
        ("variance", Role::Variance, 9.0),
    ] {
        inputs.push(g.parameter(name, role, Tensor::f32(channels, vec![value; 5])?)?);
    }
    let op = BatchNorm { epsilon: 1e-3, momentum: 0.9, layout: Layout::Nhwc, clamp: None };
    let y = g.add("y", op, &inputs)?;
    g.set_outputs(vec![y]);
    let (mut g, statistics) = batch_statistics(&g)?;
    let [statistics] = statistics.as_slice() else { panic!("{statistics:?}") };
    let found = |name| g.require(name);
    assert_eq!(statistics.momentum, 0.9);
    assert_eq!([statistics.mean, statistics.variance], [found("mean")?, found("variance")?]);
    let (x, y, gamma) = (found("x")?, found("y")?, found("gamma")?);
    let (x_value, dy_value) = (uniform(&shape), uniform(&shape));
    let forward = evaluate(&g, &[(x, &x_value)]);
    // Normalised values have mean 0; 1/24 is rounded to f32.
    const F32: f64 = 1e-7;
    let y_value = &forward[y.index()];
    let means: Vec<f64> = (0..5).map(|c| y_value.rows().into_iter().map(|row| row[c]).sum::<f64>() / 24.0).collect();
    assert!(means.iter().all(|m| (m - f64::from(0.2_f32)).abs() < F32), "the means are {means:?}, not β");

    let dy = g.input("dy", g.get(y).ty.clone(), true)?;
    let found = gradients(&mut g, &[(y, dy)], &[x, gamma])?;
    let values = evaluate(&g, &[(x, &x_value), (dy, &dy_value)]);
    let dx = found[0].map(|dx| values[dx.index()].clone()).expect("a gradient of x");
    let scalar = |direction: &ArrayD<f64>, step: f64| {
        let x_value = &x_value + &(direction * step);
        (&evaluate(&g, &[(x, &x_value), (dy, &dy_value)])[y.index()] * &dy_value).sum()
    };
    for at in 0..20 {
        let direction = uniform(&shape);
        let (rule, difference) =
            ((&dx * &direction).sum(), (scalar(&direction, STEP) - scalar(&direction, -STEP)) / (2.0 * STEP));
        let allowed = ABSOLUTE + RELATIVE * rule.abs().max(difference.abs());
        assert!((rule - difference).abs() <= allowed, "direction {at}, seed {SEED}: {rule}, differences {difference}");
    }
    Ok(())
}

/// A frozen one keeps its statistics.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn a_frozen_batch_norm_is_left_alone() -> regraft::Result<()> {
    let mut g = Graph::new();
    let mut inputs = vec![g.input("x", TensorType::f32([2, 3]), true)?];
    for (name, role) in [("g", Role::Gamma), ("b", Role::Beta), ("m", Role::Mean), ("v", Role::Variance)] {
        inputs.push(g.parameter(name, role, Tensor::f32([3], vec![1.0; 3])?)?);
    }
    let y = g.add("y", BatchNorm { epsilon: 1e-3, momentum: 0.9, layout: Layout::Nhwc, clamp: None }, &inputs)?;
    g.set_outputs(vec![y]);
    let frozen = g.for_inference();
    let (unchanged, statistics) = batch_statistics(&frozen)?;
    assert!(unchanged == frozen && statistics.is_empty());
    assert_eq!(batch_statistics(&g)?.1.len(), 1);
    Ok(())
}

/// What the other test leaves out refuses to be differentiated: no rule goes unjudged.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn ops_without_a_rule_say_so() {
    let mut refused = BTreeSet::new();
    for case in all_cases().iter().filter(|case| WITHOUT_GRADIENT.contains(&case.op.name()) || is_fused(&case.op)) {
        let x = case.to_f64(&case.draw(SEED));
        let dy = case.op.reference(&x);
        let result = by_rule(case, &Probe { op: &case.op, x, dy });
        assert_eq!(result.map_err(|e| e.code()).err(), Some("internal"), "{:?}", case.op);
        refused.insert(case.op.name());
    }
    for name in WITHOUT_GRADIENT {
        assert!(refused.contains(name), "{name} is no op with cases");
    }
}
