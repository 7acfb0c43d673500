//! Updaters, fused over one flat slice of parameters.

/// Stochastic gradient descent: `w −= lr·dw`.
pub fn sgd(w: &mut [f32], dw: &[f32], lr: f32) {
    debug_assert_eq!(w.len(), dw.len());
    for (w, dw) in w.iter_mut().zip(dw) {
        *w -= lr * dw;
    }
}

/// Nesterov momentum as Keras and Deeplearning4j write it: `v' = mu·v − lr·dw`, `w += mu·v' − lr·dw`.
pub fn nesterovs(w: &mut [f32], v: &mut [f32], dw: &[f32], lr: f32, mu: f32) {
    debug_assert!(w.len() == dw.len() && v.len() == dw.len());
    for ((w, v), dw) in w.iter_mut().zip(v).zip(dw) {
        let step = lr * dw;
        *v = mu * *v - step;
        *w += mu * *v - step;
    }
}

/// Adam (Kingma and Ba 2015, the form before section 2.1): moments `m` and `v`, then `w −= alpha·m / (√v + eps)`.
///
/// `alpha` carries the bias correction, `lr·√(1 − b2^t) / (1 − b1^t)`.
#[expect(clippy::too_many_arguments, reason = "the symbols of the paper")]
pub fn adam(w: &mut [f32], m: &mut [f32], v: &mut [f32], dw: &[f32], alpha: f32, b1: f32, b2: f32, eps: f32) {
    debug_assert!(w.len() == dw.len() && m.len() == dw.len() && v.len() == dw.len());
    for (((w, m), v), &dw) in w.iter_mut().zip(m).zip(v).zip(dw) {
        *m = b1 * *m + (1.0 - b1) * dw;
        *v = b2 * *v + (1.0 - b2) * (dw * dw);
        *w -= alpha * *m / (v.sqrt() + eps);
    }
}

/// [`adam`] divided by the largest mean square so far, `top`.
#[expect(clippy::too_many_arguments, reason = "the symbols of the paper")]
pub fn amsgrad(
    w: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    top: &mut [f32],
    dw: &[f32],
    alpha: f32,
    b1: f32,
    b2: f32,
    eps: f32,
) {
    debug_assert!(w.len() == dw.len() && m.len() == dw.len() && v.len() == dw.len() && top.len() == dw.len());
    for ((((w, m), v), top), &dw) in w.iter_mut().zip(m).zip(v).zip(top).zip(dw) {
        *m = b1 * *m + (1.0 - b1) * dw;
        *v = b2 * *v + (1.0 - b2) * (dw * dw);
        *top = larger(*v, *top);
        *w -= alpha * *m / (top.sqrt() + eps);
    }
}

/// The larger of two numbers as one instruction; the second where one is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// AdaMax (Kingma and Ba 2015, algorithm 2): `m' = b1·m + (1 − b1)·dw`, `u' = max(b2·u, |dw|)`, `w −= alpha·m' / (u' + eps)`.
#[expect(clippy::too_many_arguments, reason = "the symbols of the paper")]
pub fn adamax(w: &mut [f32], m: &mut [f32], u: &mut [f32], dw: &[f32], alpha: f32, b1: f32, b2: f32, eps: f32) {
    debug_assert!(w.len() == dw.len() && m.len() == dw.len() && u.len() == dw.len());
    for (((w, m), u), &dw) in w.iter_mut().zip(m).zip(u).zip(dw) {
        *m = b1 * *m + (1.0 - b1) * dw;
        *u = larger(b2 * *u, dw.abs());
        *w -= alpha * *m / (*u + eps);
    }
}

/// Nadam: the moments of [`adam`], then `w −= (a·m' + b·dw) / (√(c·v') + eps)`.
#[expect(clippy::too_many_arguments, reason = "the symbols of the paper")]
pub fn nadam(w: &mut [f32], m: &mut [f32], v: &mut [f32], dw: &[f32], [a, b, c]: [f32; 3], b1: f32, b2: f32, eps: f32) {
    debug_assert!(w.len() == dw.len() && m.len() == dw.len() && v.len() == dw.len());
    for (((w, m), v), &dw) in w.iter_mut().zip(m).zip(v).zip(dw) {
        *m = b1 * *m + (1.0 - b1) * dw;
        *v = b2 * *v + (1.0 - b2) * (dw * dw);
        *w -= (a * *m + b * dw) / ((c * *v).sqrt() + eps);
    }
}

/// AdaGrad: `s += dw²`, `w −= lr·dw / (√s + eps)`.
pub fn adagrad(w: &mut [f32], s: &mut [f32], dw: &[f32], lr: f32, eps: f32) {
    debug_assert!(w.len() == dw.len() && s.len() == dw.len());
    for ((w, s), &dw) in w.iter_mut().zip(s).zip(dw) {
        *s += dw * dw;
        *w -= lr * dw / (s.sqrt() + eps);
    }
}

/// RMSProp: `s' = rho·s + (1 − rho)·dw²`, `w −= lr·dw / √(s' + eps)`.
pub fn rmsprop(w: &mut [f32], s: &mut [f32], dw: &[f32], lr: f32, rho: f32, eps: f32) {
    debug_assert!(w.len() == dw.len() && s.len() == dw.len());
    for ((w, s), &dw) in w.iter_mut().zip(s).zip(dw) {
        *s = rho * *s + (1.0 - rho) * (dw * dw);
        *w -= lr * dw / (*s + eps).sqrt();
    }
}

/// AdaDelta: `s' = rho·s + (1 − rho)·dw²`, `d = dw·√((u + eps) / (s' + eps))`, `u' = rho·u + (1 − rho)·d²`, `w −= lr·d`.
pub fn adadelta(w: &mut [f32], s: &mut [f32], u: &mut [f32], dw: &[f32], lr: f32, rho: f32, eps: f32) {
    debug_assert!(w.len() == dw.len() && s.len() == dw.len() && u.len() == dw.len());
    for (((w, s), u), &dw) in w.iter_mut().zip(s).zip(u).zip(dw) {
        *s = rho * *s + (1.0 - rho) * (dw * dw);
        let step = dw * ((*u + eps) / (*s + eps)).sqrt();
        *u = rho * *u + (1.0 - rho) * (step * step);
        *w -= lr * step;
    }
}

/// Far above the smallest normal number, so that a decaying value takes dozens of steps from here to there; far below what an
/// epsilon lets count.
const SMALLEST: f32 = 1.0 / (1u128 << 100) as f32;

/// Sets to 0 what is below 2⁻¹⁰⁰; NaN stays.
///
/// State that decays ends among the subnormal numbers, where processors take up to a hundred times as long, and stays there.
/// WebAssembly cannot ask for zeros in their place, as TensorFlow and XLA do.
pub fn flush(state: &mut [f32]) {
    for x in state {
        *x = if x.abs() < SMALLEST { 0.0 } else { *x };
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close};
    use super::*;

    /// Ten steps of a few roundings each on values around 1.
    const TOLERANCE: f64 = 5e-6;
    const LEN: usize = 37;

    #[test]
    fn ten_steps_agree_with_f64() {
        let mut rng = Rng::new(13);
        let w0 = rng.fill(LEN);
        let (mut ws, mut wn, mut wa) = (w0.clone(), w0.clone(), w0.clone());
        let (mut v, mut m1, mut m2) = (vec![0.0; LEN], vec![0.0; LEN], vec![0.0; LEN]);
        let wide: Vec<f64> = w0.iter().map(|&w| f64::from(w)).collect();
        let (mut es, mut en, mut ea) = (wide.clone(), wide.clone(), wide);
        let (mut ev, mut em1, mut em2) = (vec![0.0; LEN], vec![0.0; LEN], vec![0.0; LEN]);
        for t in 1..=10 {
            let dw = rng.fill(LEN);
            let alpha = 0.01 * (1.0 - 0.999f64.powi(t)).sqrt() / (1.0 - 0.9f64.powi(t));
            sgd(&mut ws, &dw, 0.1);
            nesterovs(&mut wn, &mut v, &dw, 0.1, 0.9);
            adam(&mut wa, &mut m1, &mut m2, &dw, alpha as f32, 0.9, 0.999, 1e-7);
            for (i, &g) in dw.iter().enumerate() {
                let g = f64::from(g);
                es[i] -= 0.1 * g;
                ev[i] = 0.9 * ev[i] - 0.1 * g;
                en[i] += 0.9 * ev[i] - 0.1 * g;
                em1[i] = 0.9 * em1[i] + 0.1 * g;
                em2[i] = 0.999 * em2[i] + 0.001 * g * g;
                ea[i] -= alpha * em1[i] / (em2[i].sqrt() + 1e-7);
            }
        }
        assert_close(&ws, &es, TOLERANCE, "sgd");
        assert_close(&wn, &en, TOLERANCE, "nesterovs");
        assert_close(&wa, &ea, TOLERANCE, "adam");
    }

    #[test]
    fn what_is_flushed_is_small() {
        let mut x = [0.0, 1e-30, -1e-30, 1e-31, -1e-31, 1e-45, f32::NAN, f32::INFINITY, -1.0];
        flush(&mut x);
        assert_eq!(x[..6], [0.0, 1e-30, -1e-30, 0.0, 0.0, 0.0]);
        assert!(x[6].is_nan());
        assert_eq!(x[7..], [f32::INFINITY, -1.0]);
    }
}
