//! Elementwise kernels.

use super::math::exp;
use super::simd::{F32x4, LANES};

/// `y = min(max(x, lo), hi)`; NaN passes.
pub fn clamp(x: &[f32], y: &mut [f32], lo: f32, hi: f32) {
    debug_assert_eq!(x.len(), y.len());
    for (y, &x) in y.iter_mut().zip(x) {
        *y = clamped(x, lo, hi);
    }
}

/// `min(max(x, lo), hi)`; NaN passes.
#[inline(always)]
pub fn clamped(x: f32, lo: f32, hi: f32) -> f32 {
    let x = if x < lo { lo } else { x };
    if hi < x { hi } else { x }
}

/// Gradient of [`clamp`] with output `y`: `dy` where `lo < y < hi`, else 0.
pub fn clamp_dx(y: &[f32], dy: &[f32], dx: &mut [f32], lo: f32, hi: f32) {
    debug_assert!(y.len() == dy.len() && y.len() == dx.len());
    for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
        *dx = if y > lo && y < hi { dy } else { 0.0 };
    }
}

/// `y = a + b`.
pub fn add(a: &[f32], b: &[f32], y: &mut [f32]) {
    debug_assert!(a.len() == y.len() && b.len() == y.len());
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = a + b;
    }
}

/// `y = a · b`.
pub fn mul(a: &[f32], b: &[f32], y: &mut [f32]) {
    debug_assert!(a.len() == y.len() && b.len() == y.len());
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = a * b;
    }
}

/// `y = max(a, b)`; NaN wins.
pub fn maximum(a: &[f32], b: &[f32], y: &mut [f32]) {
    debug_assert!(a.len() == y.len() && b.len() == y.len());
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = if a >= b || a.is_nan() { a } else { b };
    }
}

/// `y` is 1 where `a ≥ b`, else 0.
pub fn not_less(a: &[f32], b: &[f32], y: &mut [f32]) {
    debug_assert!(a.len() == y.len() && b.len() == y.len());
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = f32::from(u8::from(a >= b));
    }
}

/// `y` is 1 where `a < b`, else 0.
pub fn less(a: &[f32], b: &[f32], y: &mut [f32]) {
    debug_assert!(a.len() == y.len() && b.len() == y.len());
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = f32::from(u8::from(a < b));
    }
}

/// `y = 1 / (1 + e^-x)`, 4 ulp.
pub fn sigmoid(x: &[f32], y: &mut [f32]) {
    debug_assert_eq!(x.len(), y.len());
    for (y, &x) in y.iter_mut().zip(x) {
        *y = 1.0 / (1.0 + exp(-x));
    }
}

/// Gradient of [`sigmoid`] with output `y`: `dx = dy · y · (1 − y)`.
pub fn sigmoid_dx(y: &[f32], dy: &[f32], dx: &mut [f32]) {
    debug_assert!(y.len() == dx.len() && dy.len() == dx.len());
    for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
        *dx = dy * y * (1.0 - y);
    }
}

/// `y = factor · x`.
pub fn scale(x: &[f32], factor: f32, y: &mut [f32]) {
    debug_assert_eq!(x.len(), y.len());
    y.iter_mut().zip(x).for_each(|(y, x)| *y = factor * x);
}

/// `y = x + by`.
pub fn shift(x: &[f32], by: f32, y: &mut [f32]) {
    debug_assert_eq!(x.len(), y.len());
    y.iter_mut().zip(x).for_each(|(y, x)| *y = x + by);
}

/// `y = dw + l1 · sign(w) + l2 · w`.
pub fn penalize(w: &[f32], dw: &[f32], l1: f32, l2: f32, y: &mut [f32]) {
    debug_assert!(w.len() == y.len() && dw.len() == y.len());
    for (y, (&w, dw)) in y.iter_mut().zip(w.iter().zip(dw)) {
        let sign = if w == 0.0 { 0.0 } else { w.signum() };
        *y = dw + l1 * sign + l2 * w;
    }
}

/// `r = momentum · r + (1 − momentum) · x`.
pub fn moving_average(r: &mut [f32], x: &[f32], momentum: f32) {
    debug_assert_eq!(x.len(), r.len());
    r.iter_mut().zip(x).for_each(|(r, x)| *r = momentum * *r + (1.0 - momentum) * x);
}

/// `y = clamp(x · scale + shift)` with one scale and shift per column of `rows×c`.
pub fn channel_scale_shift(
    rows: usize,
    c: usize,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    y: &mut [f32],
    clamp: Option<(f32, f32)>,
) {
    debug_assert!(x.len() == rows * c && y.len() == rows * c && scale.len() == c && shift.len() == c);
    let (lo, hi) = clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    for (y, x) in y.chunks_exact_mut(c.max(1)).zip(x.chunks_exact(c.max(1))) {
        for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
            *y = clamped(x * scale + shift, lo, hi);
        }
    }
}

/// Copies as many elements as both have. A call of the memory's own copy takes longer than most runs of pixels do; and on some
/// processors it takes several times as long where `x` and `y` lie a little more than a multiple of 4 KiB apart.
#[inline(always)]
pub fn copy(x: &[f32], y: &mut [f32]) {
    let len = x.len().min(y.len());
    let (x, y) = (x.as_ptr(), y.as_mut_ptr());
    // Safety: `i + LANES` is at most the length of both.
    let quad = |i: usize| unsafe { F32x4::load(&*x.add(i).cast()).store(&mut *y.add(i).cast()) };
    if len < LANES {
        for i in 0..len {
            // Safety: `i` is below the length of both.
            unsafe { *y.add(i) = *x.add(i) };
        }
        return;
    }
    let mut i = 0;
    while i + LANES <= len {
        quad(i);
        i += LANES;
    }
    if i < len {
        quad(len - LANES);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close};
    use super::*;

    /// One rounded product and sum of values below 2.
    const TOLERANCE: f64 = 3e-7;
    /// The bound of [`sigmoid`]: 4 ulp at 1.
    const SIGMOID_TOLERANCE: f64 = 4.8e-7;

    #[test]
    fn clamp_and_its_gradient_end_at_the_bounds() {
        let x = [-1.0, 0.0, 0.5, 6.0, 7.0, f32::NAN];
        let mut y = [0.0; 6];
        clamp(&x, &mut y, 0.0, 6.0);
        assert_eq!(y[..5], [0.0, 0.0, 0.5, 6.0, 6.0]);
        assert!(y[5].is_nan());
        let mut dx = [9.0; 6];
        clamp_dx(&y, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut dx, 0.0, 6.0);
        assert_eq!(dx, [0.0, 0.0, 3.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn sums_products_and_channels_agree_with_f64() {
        let mut rng = Rng::new(11);
        for (rows, c) in [(1, 1), (3, 7), (5, 33)] {
            let (a, b) = (rng.fill(rows * c), rng.fill(rows * c));
            let mut y = vec![f32::NAN; rows * c];
            let wide = |i: usize| (f64::from(a[i]), f64::from(b[i]));
            add(&a, &b, &mut y);
            let expected: Vec<f64> = (0..y.len()).map(|i| wide(i).0 + wide(i).1).collect();
            assert_close(&y, &expected, TOLERANCE, "add");
            mul(&a, &b, &mut y);
            let expected: Vec<f64> = (0..y.len()).map(|i| wide(i).0 * wide(i).1).collect();
            assert_close(&y, &expected, TOLERANCE, "mul");
            let (scale, shift) = (rng.fill(c), rng.fill(c));
            channel_scale_shift(rows, c, &a, &scale, &shift, &mut y, Some((-0.5, 0.25)));
            let affine = |i: usize| wide(i).0 * f64::from(scale[i % c]) + f64::from(shift[i % c]);
            let expected: Vec<f64> = (0..y.len()).map(|i| affine(i).clamp(-0.5, 0.25)).collect();
            assert_close(&y, &expected, TOLERANCE, "channel_scale_shift");
            channel_scale_shift(rows, c, &a, &scale, &shift, &mut y, None);
            let expected: Vec<f64> = (0..y.len()).map(affine).collect();
            assert_close(&y, &expected, TOLERANCE, "channel_scale_shift, not clamped");
        }
    }

    #[test]
    fn sigmoid_agrees_with_f64() {
        let x: Vec<f32> = (-1200..=1200).map(|i| i as f32 * 0.1).collect();
        let mut y = vec![f32::NAN; x.len()];
        sigmoid(&x, &mut y);
        let expected: Vec<f64> = x.iter().map(|&x| 1.0 / (1.0 + f64::from(-x).exp())).collect();
        assert_close(&y, &expected, SIGMOID_TOLERANCE, "sigmoid");
    }

    #[test]
    fn copies_of_any_length_leave_the_rest() {
        let x: Vec<f32> = (1..30).map(|i| i as f32).collect();
        for len in 0..x.len() {
            let mut y = vec![0.0; x.len()];
            copy(&x[..len], &mut y);
            assert!(y[..len] == x[..len] && y[len..].iter().all(|y| *y == 0.0), "{len} of {}", x.len());
            copy(&x, &mut y[..len]);
            assert!(y[..len] == x[..len] && y[len..].iter().all(|y| *y == 0.0), "{len} of {}", x.len());
        }
    }
}
