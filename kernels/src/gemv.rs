//! Products of a few rows with a matrix that is not packed: every weight is read once, in the order it lies in memory.

use super::elementwise::clamped;
use super::gemm::Epilogue;
use super::parallel::{Cut, split};
use super::simd::{F32x4, LANES, unrolled};

/// Rows of the matrix that are added together: fewer load and store the sums more often, more are too many streams.
const STREAMS: usize = 8;

/// Columns that threads share the work by.
const UNIT: usize = 64;

/// Rows of `a` up to which this is faster than packed panels, which it need not fill with rows.
pub const GEMV_ROWS: usize = 3;

/// `y[m×n] = a[m×k] · b[k×n]`, all row-major; the same bits as [`super::gemm`].
pub fn gemv(m: usize, a: &[f32], n: usize, b: &[f32], y: &mut [f32], e: Epilogue<'_>) {
    let k = a.len() / m.max(1);
    debug_assert!(m <= GEMV_ROWS && a.len() == m * k && b.len() == k * n && y.len() == m * n);
    if n == 0 {
        return;
    }
    let mut rows: [&mut [f32]; GEMV_ROWS] = Default::default();
    rows.iter_mut().zip(y.chunks_exact_mut(n)).for_each(|(row, y)| *row = y);
    split(n.div_ceil(UNIT), UNIT * k * m, Columns(rows), |units, Columns(mut rows)| {
        let first = units.start * UNIT;
        for (r, y) in rows.iter_mut().take(m).enumerate() {
            let bias = e.bias.map(|bias| &bias[first..][..y.len()]);
            let residual = e.residual.map(|x| &x[r * n + first..][..y.len()]);
            match (bias, residual) {
                (None, None) => y.fill(0.0),
                (Some(x), None) | (None, Some(x)) => y.copy_from_slice(x),
                (Some(bias), Some(x)) => y.iter_mut().zip(bias).zip(x).for_each(|((y, bias), x)| *y = bias + x),
            }
        }
        let whole = k - k % STREAMS;
        for p in (0..whole).step_by(STREAMS) {
            let b: [&[f32]; STREAMS] = unrolled(&[], |i| &b[(p + i) * n + first..]);
            for (y, a) in rows.iter_mut().zip(a.chunks_exact(k)) {
                accumulate(unrolled(0.0, |i| a[p + i]), b, y);
            }
        }
        for p in whole..k {
            for (y, a) in rows.iter_mut().zip(a.chunks_exact(k)) {
                accumulate([a[p]], [&b[p * n + first..]], y);
            }
        }
        if let Some((lo, hi)) = e.clamp {
            rows.into_iter().flatten().for_each(|y| *y = clamped(*y, lo, hi));
        }
    });
}

/// The same columns of all rows, in units.
struct Columns<'a>([&'a mut [f32]; GEMV_ROWS]);

impl Cut for Columns<'_> {
    fn cut(self, units: usize) -> (Self, Self) {
        let (mut first, mut rest) = (Self(Default::default()), Self(Default::default()));
        for ((row, first), rest) in self.0.into_iter().zip(&mut first.0).zip(&mut rest.0) {
            let at = (units * UNIT).min(row.len());
            (*first, *rest) = row.split_at_mut(at);
        }
        (first, rest)
    }
}

/// `y += Σ a[i] · b[i]`, in that order.
#[inline(never)]
fn accumulate<const S: usize>(a: [f32; S], b: [&[f32]; S], y: &mut [f32]) {
    let a: [F32x4; S] = unrolled(F32x4::ZERO, |i| F32x4::splat(a[i]));
    let (y, tail) = y.as_chunks_mut::<LANES>();
    let len = y.len();
    let quads: [&[[f32; LANES]]; S] = unrolled(&[], |i| &b[i].as_chunks().0[..len]);
    for (j, y) in y.iter_mut().enumerate() {
        let mut sum = F32x4::load(y);
        for i in 0..S {
            sum = a[i].mul_add(F32x4::load(&quads[i][j]), sum);
        }
        sum.store(y);
    }
    if tail.is_empty() {
        return;
    }
    // Through a whole vector, so that it is rounded as elsewhere.
    let mut last = [0.0; LANES];
    last[..tail.len()].copy_from_slice(tail);
    let mut sum = F32x4::load(&last);
    for i in 0..S {
        let mut weights = [0.0; LANES];
        weights[..tail.len()].copy_from_slice(&b[i][len * LANES..][..tail.len()]);
        sum = a[i].mul_add(F32x4::load(&weights), sum);
    }
    sum.store(&mut last);
    tail.copy_from_slice(&last[..tail.len()]);
}

#[cfg(test)]
mod tests {
    use super::super::gemm::{PackedB, gemm};
    use super::super::testing::{Rng, assert_close, product};
    use super::*;

    /// Rounding of a few thousand f32 additions of values around 1.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn rows_agree_with_f64_and_with_panels_bit_for_bit() {
        let mut rng = Rng::new(71);
        for m in 1..=GEMV_ROWS {
            for (k, n) in [(1, 1), (3, 8), (17, 5), (24, 48), (5, 71), (1601, 13), (900, 300), (0, 3)] {
                let (a, b) = (rng.fill(m * k), rng.fill(k * n));
                let (bias, residual) = (rng.fill(n), rng.fill(m * n));
                let plain = Epilogue::default();
                let biased = Epilogue { bias: Some(&bias), ..plain };
                let added = Epilogue { residual: Some(&residual), clamp: Some((-0.5, 0.75)), ..biased };
                for e in [plain, biased, added] {
                    let (mut y, mut panels) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
                    gemv(m, &a, n, &b, &mut y, e);
                    gemm(m, &a, &PackedB::pack(k, n, &b), &mut panels, e);
                    assert_eq!(y, panels, "{m}×{k}·{k}×{n}");
                    let mut expected = product(m, k, n, |i, p| a[i * k + p], |p, j| b[p * n + j]);
                    let (lo, hi) = e.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
                    for (i, x) in expected.iter_mut().enumerate() {
                        *x += e.bias.map_or(0.0, |b| f64::from(b[i % n])) + e.residual.map_or(0.0, |r| f64::from(r[i]));
                        *x = x.clamp(f64::from(lo), f64::from(hi));
                    }
                    assert_close(&y, &expected, TOLERANCE * (k + 1) as f64, &format!("{m}×{k}·{k}×{n}"));
                }
            }
        }
    }

    #[cfg(feature = "threads")]
    #[test]
    fn threads_change_no_bit() {
        let mut rng = Rng::new(72);
        for (m, k, n) in [(1, 700, 3001), (3, 500, 1999)] {
            let (a, b, bias, residual) = (rng.fill(m * k), rng.fill(k * n), rng.fill(n), rng.fill(m * n));
            let e = Epilogue { bias: Some(&bias), residual: Some(&residual), clamp: Some((-9.0, 9.0)) };
            let mut alone = vec![f32::NAN; m * n];
            gemv(m, &a, n, &b, &mut alone, e);
            for threads in [2, 4] {
                let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build();
                let mut y = vec![f32::NAN; m * n];
                pool.unwrap_or_else(|e| panic!("{e}")).install(|| gemv(m, &a, n, &b, &mut y, e));
                assert_eq!(y, alone, "{m}×{k}·{k}×{n} on {threads} threads");
            }
        }
    }
}
