//! How good a model is, judged on data it was not trained on.

/// Probabilities below this are taken for it, so that a loss stays finite.
const SMALLEST: f32 = f32::MIN_POSITIVE;

/// `−Σ t·ln p` summed over the first `rows` rows of `rows × classes` probabilities and targets.
pub(crate) fn negative_log_likelihood(probabilities: &[f32], targets: &[f32], classes: usize, rows: usize) -> f64 {
    let pairs = probabilities.iter().zip(targets).take(rows * classes).filter(|(_, t)| **t != 0.0);
    pairs.map(|(p, t)| -f64::from(*t) * libm::log(f64::from(p.max(SMALLEST)))).sum()
}
