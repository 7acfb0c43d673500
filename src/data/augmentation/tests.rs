use serde_json::Value;

use super::mix::draw_beta;

const SAMPLES: usize = 20_000;

/// Standard errors a share may be off: one in 3.5 million by chance, and the seed is fixed.
const SIGMAS: f64 = 5.0;

/// SciPy's distribution function, from `tests/reference/augmentation.py`.
#[test]
fn shares_are_beta() {
    let golden: Value =
        serde_json::from_str(include_str!("../../../tests/reference/augmentation.json")).expect("reference");
    let quantiles = golden["beta"].as_array().expect("quantiles");
    assert!(quantiles.len() >= 25);
    for quantile in quantiles {
        let number = |name: &str| quantile[name].as_f64().expect("a number");
        let (alpha, at, p) = (number("alpha"), number("at"), number("below"));
        let below = draw_beta(23, alpha, SAMPLES).iter().filter(|x| **x < at).count() as f64 / SAMPLES as f64;
        let limit = SIGMAS * (p * (1.0 - p) / SAMPLES as f64).sqrt();
        assert!((below - p).abs() <= limit + 1e-9, "α {alpha}, below {at}: {below}, expected {p} ± {limit}");
    }
}
