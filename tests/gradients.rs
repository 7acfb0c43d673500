//! Every gradient rule against central differences, both of the `f64` references: what is judged is the rule, not rounding.

use std::collections::BTreeSet;

use ndarray::ArrayD;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft::graph::{Graph, VertexId, gradient::gradients};
use regraft::ops::{Case, Op, all_cases};

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

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
    "clip_grad",
    "constrain_norm",
    "constrain_sign",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "depthwise_conv2d_input_grad",
    "depthwise_conv2d_weight_grad",
    "max_pool_grad",
    "maximum_grad",
    "moving_average",
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
