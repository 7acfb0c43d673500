//! The formulas behind [`Evaluation`](super::Evaluation); each is defined for empty input.

/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Bins of confidence, as in Guo et al., "On Calibration of Modern Neural Networks", 2017, with 10.
const BINS: usize = 10;

/// `part / whole`, 0 for nothing of nothing.
pub(super) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Mean of the values, 0 without any.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// Samples on the diagonal.
pub(super) fn diagonal(matrix: &[Vec<usize>]) -> usize {
    matrix.iter().enumerate().map(|(class, row)| row[class]).sum()
}

/// Predictions of each class.
pub(super) fn column_sums(matrix: &[Vec<usize>]) -> Vec<usize> {
    (0..matrix.len()).map(|class| matrix.iter().map(|row| row[class]).sum()).collect()
}

/// Wilson's score interval at 95 %, without continuity correction.
pub(super) fn wilson(right: usize, count: usize) -> [f64; 2] {
    if count == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (count as f64, ratio(right, count));
    let center = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // At 0 and 1 the bound is exact, but not always in floats.
    let low = if right == 0 { 0.0 } else { (center - spread) / scale };
    let high = if right == count { 1.0 } else { (center + spread) / scale };
    [low, high]
}

/// Matthews correlation: covariance of actual and predicted classes over the root of their variances.
pub(super) fn mcc(matrix: &[Vec<usize>]) -> f64 {
    let squares = |counts: &[f64]| counts.iter().map(|n| n * n).sum::<f64>();
    let actual: Vec<f64> = matrix.iter().map(|row| row.iter().sum::<usize>() as f64).collect();
    let predicted: Vec<f64> = column_sums(matrix).into_iter().map(|n| n as f64).collect();
    let count: f64 = actual.iter().sum();
    let chance: f64 = actual.iter().zip(&predicted).map(|(a, p)| a * p).sum();
    let variances = (count * count - squares(&actual)) * (count * count - squares(&predicted));
    if variances <= 0.0 {
        return 0.0;
    }
    (diagonal(matrix) as f64 * count - chance) / variances.sqrt()
}

/// Expected calibration error of (confidence, right) pairs; a bin includes its upper edge.
pub(super) fn calibration_error(samples: &[(f64, bool)]) -> f64 {
    let mut gaps = [0.0; BINS];
    for &(confidence, right) in samples {
        let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        gaps[bin] += f64::from(right) - confidence;
    }
    // |accuracy - confidence| · n / N of a bin is the absolute sum of its differences over N.
    gaps.iter().map(|gap: &f64| gap.abs()).sum::<f64>() / samples.len().max(1) as f64
}

/// Area under the ROC curve of (score, positive) pairs, from mid-ranks (Mann and Whitney, 1947).
pub(super) fn roc_auc(mut scored: Vec<(f32, bool)>) -> f64 {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut ordered, mut positives) = (0.0, 0.0, 0.0);
    for tied in scored.chunk_by(|a, b| a.0 == b.0) {
        let positive = tied.iter().filter(|(_, positive)| *positive).count() as f64;
        let negative = tied.len() as f64 - positive;
        ordered += positive * (below + negative / 2.0);
        below += negative;
        positives += positive;
    }
    let pairs = positives * below;
    if pairs == 0.0 { 0.0 } else { ordered / pairs }
}
