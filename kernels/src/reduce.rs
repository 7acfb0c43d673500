//! Row and column reductions.

use super::math::exp;

/// Columns whose sums are kept at hand while the rows pass by.
const COLS: usize = 128;
/// Rows that are added up in f32 before their sum joins one in f64.
const ROWS: usize = 8;

/// Column sums of `rows×cols`: the gradient of a bias. In f64, since a batch of images has many rows.
pub fn sum_rows(rows: usize, cols: usize, x: &[f32], y: &mut [f32]) {
    debug_assert!(x.len() == rows * cols && y.len() == cols);
    for (block, y) in y.chunks_mut(COLS).enumerate() {
        let mut sums = [0f64; COLS];
        let sums = &mut sums[..y.len()];
        for group in x.chunks(ROWS * cols) {
            add_rows(group, cols, block * COLS, sums);
        }
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = *sum as f32);
    }
}

/// Columns of two matrices at a time: enough of a row to be read ahead, few enough for the sums to stay near.
const WIDE: usize = 512;

/// Column sums of `(x − mean)²`.
pub fn sum_squares(x: &[f32], mean: &[f32], y: &mut [f32]) {
    sum_rows_of(x, x, mean, y, |x, _, mean| (x - mean) * (x - mean));
}

/// Column sums of `dy · (x − mean)`.
pub fn sum_products(dy: &[f32], x: &[f32], mean: &[f32], y: &mut [f32]) {
    sum_rows_of(dy, x, mean, y, |dy, x, mean| dy * (x - mean));
}

/// Column sums of `f(a, b, shift)` for two matrices and a value a column, as [`sum_rows`] adds them up.
fn sum_rows_of(a: &[f32], b: &[f32], shift: &[f32], y: &mut [f32], f: impl Fn(f32, f32, f32) -> f32) {
    debug_assert!(a.len() == b.len() && shift.len() == y.len());
    let cols = y.len().max(1);
    for (block, y) in y.chunks_mut(WIDE).enumerate() {
        let (first, n) = (block * WIDE, y.len());
        let (shift, mut sums, mut part) = (&shift[first..][..n], [0f64; WIDE], [0f32; WIDE]);
        let (sums, part) = (&mut sums[..n], &mut part[..n]);
        for (a, b) in a.chunks(ROWS * cols).zip(b.chunks(ROWS * cols)) {
            for (a, b) in a.chunks_exact(cols).zip(b.chunks_exact(cols)) {
                let terms = a[first..][..n].iter().zip(&b[first..][..n]).zip(shift);
                part.iter_mut().zip(terms).for_each(|(sum, ((a, b), shift))| *sum += f(*a, *b, *shift));
            }
            for (sum, part) in sums.iter_mut().zip(part.iter_mut()) {
                *sum += f64::from(std::mem::take(part));
            }
        }
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = *sum as f32);
    }
}

/// Adds the columns from `first` on of up to [`ROWS`] rows.
fn add_rows(group: &[f32], cols: usize, first: usize, sums: &mut [f64]) {
    let row = |r: usize| &group[r * cols + first..][..sums.len()];
    if group.len() < ROWS * cols {
        for r in 0..group.len() / cols {
            sums.iter_mut().zip(&group[r * cols + first..]).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        return;
    }
    let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
    let [e, f, g, h] = [row(4), row(5), row(6), row(7)];
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum += f64::from(((a[i] + b[i]) + (c[i] + d[i])) + ((e[i] + f[i]) + (g[i] + h[i])));
    }
}

/// Sums that are kept side by side, so that their loops are vectorised.
const LANES: usize = 8;

/// `Σ x²`, in f64.
pub fn squared_norm(x: &[f32]) -> f64 {
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0f64; LANES];
    for x in whole {
        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

/// `Σ |now − before|` and `Σ |before|`, in f64.
pub fn magnitudes(now: &[f32], before: &[f32]) -> (f64, f64) {
    debug_assert_eq!(now.len(), before.len());
    let (mut change, mut size) = ([0f64; LANES], [0f64; LANES]);
    let mut add = |now: &[f32], before: &[f32]| {
        for (((change, size), now), before) in change.iter_mut().zip(&mut size).zip(now).zip(before) {
            *change += f64::from((now - before).abs());
            *size += f64::from(before.abs());
        }
    };
    let ((now, now_rest), (before, before_rest)) = (now.as_chunks::<LANES>(), before.as_chunks::<LANES>());
    now.iter().zip(before).for_each(|(now, before)| add(now, before));
    add(now_rest, before_rest);
    (change.iter().sum(), size.iter().sum())
}

/// Whether all elements are numbers. By the largest magnitude's bits: unlike a search that may end early, this is vectorised.
pub fn is_finite(x: &[f32]) -> bool {
    f32::from_bits(x.iter().fold(0, |most: u32, x| most.max(x.abs().to_bits()))).is_finite()
}

/// Largest element; NaN where there is one.
fn max(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |m, &x| if x > m || x.is_nan() { x } else { m })
}

/// Softmax of each row, shifted by its maximum.
pub fn softmax_rows(rows: usize, cols: usize, x: &[f32], y: &mut [f32]) {
    debug_assert!(x.len() == rows * cols && y.len() == rows * cols);
    for (x, y) in x.chunks_exact(cols.max(1)).zip(y.chunks_exact_mut(cols.max(1))) {
        let shift = max(x);
        for (y, x) in y.iter_mut().zip(x) {
            *y = exp(x - shift);
        }
        let scale = 1.0 / y.iter().sum::<f32>();
        y.iter_mut().for_each(|y| *y *= scale);
    }
}

/// Gradient of [`softmax_rows`] with output `y`: `dx = y · (dy − Σ y·dy)`.
pub fn softmax_dx(rows: usize, cols: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    debug_assert!(y.len() == rows * cols && dy.len() == rows * cols && dx.len() == rows * cols);
    let step = cols.max(1);
    for ((y, dy), dx) in y.chunks_exact(step).zip(dy.chunks_exact(step)).zip(dx.chunks_exact_mut(step)) {
        let dot: f32 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
        for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
            *dx = y * (dy - dot);
        }
    }
}

/// Cross-entropy of each row, `Σ t · (ln Σ e^x − x)`, with targets `t` of `rows×cols` (one-hot or any weights).
pub fn softmax_nll(rows: usize, cols: usize, logits: &[f32], targets: &[f32], losses: &mut [f32]) {
    debug_assert!(logits.len() == rows * cols && targets.len() == rows * cols && losses.len() == rows);
    let step = cols.max(1);
    for ((x, t), loss) in logits.chunks_exact(step).zip(targets.chunks_exact(step)).zip(losses) {
        let shift = max(x);
        let log_sum = x.iter().map(|x| exp(x - shift)).sum::<f32>().ln();
        *loss = x.iter().zip(t).map(|(x, t)| t * (log_sum - (x - shift))).sum();
    }
}

/// Gradient of [`softmax_nll`] by the logits, times `dlosses` per row: `dx = (softmax(x) · Σ t − t) · dloss`.
pub fn softmax_nll_dx(rows: usize, cols: usize, logits: &[f32], targets: &[f32], dlosses: &[f32], dx: &mut [f32]) {
    debug_assert!(targets.len() == rows * cols && dlosses.len() == rows);
    softmax_rows(rows, cols, logits, dx);
    let step = cols.max(1);
    for ((dx, t), dloss) in dx.chunks_exact_mut(step).zip(targets.chunks_exact(step)).zip(dlosses) {
        let weight: f32 = t.iter().sum();
        for (dx, t) in dx.iter_mut().zip(t) {
            *dx = (*dx * weight - t) * dloss;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close};
    use super::*;

    /// A few dozen rounded additions of values around 1, and `exp`.
    const TOLERANCE: f64 = 2e-6;

    fn softmax(x: &[f32]) -> Vec<f64> {
        let shift = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let e: Vec<f64> = x.iter().map(|&x| f64::from(x - shift).exp()).collect();
        let sum: f64 = e.iter().sum();
        e.iter().map(|e| e / sum).collect()
    }

    #[test]
    fn softmax_loss_and_gradients_agree_with_f64() {
        let mut rng = Rng::new(12);
        for (rows, cols) in [(1, 1), (4, 5), (3, 33), (2, 1000)] {
            let x: Vec<f32> = rng.fill(rows * cols).iter().map(|x| x * 20.0).collect();
            let t: Vec<f32> = rng.fill(rows * cols).iter().map(|t| t.abs()).collect();
            let (dy, dlosses) = (rng.fill(rows * cols), rng.fill(rows));
            let (mut y, mut dx, mut losses) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()], vec![0.0; rows]);
            softmax_rows(rows, cols, &x, &mut y);
            let p: Vec<f64> = x.chunks(cols).flat_map(softmax).collect();
            assert_close(&y, &p, TOLERANCE, "softmax");
            let what = format!("{rows}×{cols}");
            let wide = |x: f32| f64::from(x);
            let tolerance = TOLERANCE * cols as f64;

            softmax_dx(rows, cols, &y, &dy, &mut dx);
            let rows_of = |i: usize| i / cols * cols..(i / cols + 1) * cols;
            let dot = |i: usize| rows_of(i).map(|j| p[j] * wide(dy[j])).sum::<f64>();
            let expected: Vec<f64> = (0..x.len()).map(|i| p[i] * (wide(dy[i]) - dot(i))).collect();
            assert_close(&dx, &expected, tolerance, &format!("softmax_dx {what}"));

            softmax_nll(rows, cols, &x, &t, &mut losses);
            let nll = |r: usize| (r * cols..(r + 1) * cols).map(|j| -wide(t[j]) * p[j].ln()).sum();
            let expected: Vec<f64> = (0..rows).map(nll).collect();
            assert_close(&losses, &expected, tolerance, &format!("softmax_nll {what}"));

            softmax_nll_dx(rows, cols, &x, &t, &dlosses, &mut dx);
            let weight = |i: usize| rows_of(i).map(|j| wide(t[j])).sum::<f64>();
            let grad = |i: usize| (p[i] * weight(i) - wide(t[i])) * wide(dlosses[i / cols]);
            let expected: Vec<f64> = (0..x.len()).map(grad).collect();
            assert_close(&dx, &expected, tolerance, &format!("softmax_nll_dx {what}"));
        }
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let mut y = [0.0; 3];
        softmax_rows(1, 3, &[1e4, -1e4, 1e4], &mut y);
        assert_close(&y, &[0.5, 0.0, 0.5], TOLERANCE, "softmax");
        let mut loss = [0.0];
        softmax_nll(1, 3, &[1e4, -1e4, 1e4], &[0.0, 1.0, 0.0], &mut loss);
        assert_close(&loss, &[2e4 + 2f64.ln()], TOLERANCE, "loss");
    }

    #[test]
    fn nan_is_not_hidden() {
        let mut y = [0.0; 2];
        softmax_rows(1, 2, &[f32::NAN, 1.0], &mut y);
        assert!(y.iter().all(|y| y.is_nan()));
    }

    #[test]
    fn columns_are_summed_in_f64() {
        let mut rng = Rng::new(14);
        for (rows, cols) in [(1, 1), (2, 3), (8, 4), (23, 7), (784, 130), (5000, 2), (16, 300)] {
            let x = rng.fill(rows * cols);
            let mut y = vec![f32::NAN; cols];
            sum_rows(rows, cols, &x, &mut y);
            let column = |j: usize| (0..rows).map(|i| f64::from(x[i * cols + j])).sum();
            let expected: Vec<f64> = (0..cols).map(column).collect();
            assert_close(&y, &expected, TOLERANCE, &format!("{rows}×{cols}"));
        }
    }
}
