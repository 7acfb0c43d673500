//! Elementwise functions and their derivatives, written so that no large argument overflows on the way.

use crate::math::exp;

/// λ and α of SELU (Klambauer et al. 2017, equation 14).
const SELU: (f32, f32) = (1.050_701, 1.673_263_2);

/// `1 / (1 + e^−x)`.
#[inline(always)]
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x` above 0, `slope · x` elsewhere.
#[inline(always)]
pub(super) fn leaky_relu(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { slope * x }
}

#[inline(always)]
pub(super) fn leaky_relu_slope(x: f32, slope: f32) -> f32 {
    if x > 0.0 { 1.0 } else { slope }
}

/// `x` above 0, `α · (e^x − 1)` elsewhere.
pub(super) fn elu(x: f32, alpha: f32) -> f32 {
    if x > 0.0 { x } else { alpha * libm::expm1f(x) }
}

#[inline(always)]
pub(super) fn elu_slope(x: f32, alpha: f32) -> f32 {
    if x > 0.0 { 1.0 } else { alpha * exp(x) }
}

/// `λ · elu(x, α)`.
pub(super) fn selu(x: f32) -> f32 {
    SELU.0 * elu(x, SELU.1)
}

#[inline(always)]
pub(super) fn selu_slope(x: f32) -> f32 {
    SELU.0 * elu_slope(x, SELU.1)
}

/// `x · Φ(x)` with the normal distribution; through `erfc`, which keeps its precision in the lower tail.
pub(super) fn gelu(x: f32) -> f32 {
    0.5 * x * libm::erfcf(-x * core::f32::consts::FRAC_1_SQRT_2)
}

/// `Φ(x) + x · φ(x)`.
pub(super) fn gelu_slope(x: f32) -> f32 {
    const DENSITY_AT_0: f32 = 0.398_942_3;
    // Far out the density is 0, and x² would overflow.
    let near = x.clamp(-20.0, 20.0);
    0.5 * libm::erfcf(-x * core::f32::consts::FRAC_1_SQRT_2) + near * DENSITY_AT_0 * exp(-0.5 * near * near)
}

/// Twice the argument of the tangent in [`gelu_tanh`], and its derivative. Clamped where the logistic function has long been flat.
#[inline(always)]
fn gelu_argument(x: f32) -> (f32, f32) {
    /// √(8/π).
    const FACTOR: f32 = 1.595_769_2;
    const CUBIC: f32 = 0.044_715;
    let x = x.clamp(-20.0, 20.0);
    (FACTOR * (x + CUBIC * x * x * x), FACTOR * (1.0 + 3.0 * CUBIC * x * x))
}

/// `½ · x · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`, which is `x · logistic(…)`.
#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> f32 {
    x * logistic(gelu_argument(x).0)
}

#[inline(always)]
pub(super) fn gelu_tanh_slope(x: f32) -> f32 {
    let (u, du) = gelu_argument(x);
    let s = logistic(u);
    s + x.clamp(-20.0, 20.0) * s * logistic(-u) * du
}

pub(super) fn tanh(x: f32) -> f32 {
    libm::tanhf(x)
}

/// `1 − tanh² x`, as `4 e^−2|x| / (1 + e^−2|x|)²`.
#[inline(always)]
pub(super) fn tanh_slope(x: f32) -> f32 {
    let e = exp(-2.0 * x.abs());
    4.0 * e / ((1.0 + e) * (1.0 + e))
}

/// `ln(1 + e^x)`, as `max(x, 0) + ln(1 + e^−|x|)`.
pub(super) fn softplus(x: f32) -> f32 {
    // Comparisons that are false pass NaN on.
    let above = if x < 0.0 { 0.0 } else { x };
    above + libm::log1pf(exp(-x.abs()))
}

#[inline(always)]
pub(super) fn softplus_slope(x: f32) -> f32 {
    logistic(x)
}

/// `x / (1 + |x|)`.
#[inline(always)]
pub(super) fn softsign(x: f32) -> f32 {
    x / (1.0 + x.abs())
}

#[inline(always)]
pub(super) fn softsign_slope(x: f32) -> f32 {
    let d = 1.0 / (1.0 + x.abs());
    d * d
}

/// `min(max(α · x + β, 0), 1)`.
#[inline(always)]
pub(super) fn hard_sigmoid(x: f32, alpha: f32, beta: f32) -> f32 {
    crate::elementwise::clamped(alpha * x + beta, 0.0, 1.0)
}

#[inline(always)]
pub(super) fn hard_sigmoid_slope(x: f32, alpha: f32, beta: f32) -> f32 {
    let y = alpha * x + beta;
    if y > 0.0 && y < 1.0 { alpha } else { 0.0 }
}

/// `x · min(max(x + 3, 0), 6) / 6`.
#[inline(always)]
pub(super) fn hard_swish(x: f32) -> f32 {
    x * (crate::elementwise::clamped(x + 3.0, 0.0, 6.0) * (1.0 / 6.0))
}

#[inline(always)]
pub(super) fn hard_swish_slope(x: f32) -> f32 {
    if x <= -3.0 {
        0.0
    } else if x >= 3.0 {
        1.0
    } else {
        x * (1.0 / 3.0) + 0.5
    }
}

/// `x / (1 + e^−x)`.
#[inline(always)]
pub(super) fn swish(x: f32) -> f32 {
    x * logistic(x)
}

#[inline(always)]
pub(super) fn swish_slope(x: f32) -> f32 {
    let s = logistic(x);
    s + x * s * logistic(-x)
}

/// `e^x` and `e^x · (e^x + 2)`, bounded where `tanh(softplus(x))` is 1.
#[inline(always)]
fn mish_parts(x: f32) -> (f32, f32) {
    let e = exp(if x > 20.0 { 20.0 } else { x });
    (e, e * (e + 2.0))
}

/// `x · tanh(ln(1 + e^x))`: with `n = e^2x + 2 e^x`, the tangent is `n / (n + 2)`.
#[inline(always)]
pub(super) fn mish(x: f32) -> f32 {
    let n = mish_parts(x).1;
    x * (n / (n + 2.0))
}

#[inline(always)]
pub(super) fn mish_slope(x: f32) -> f32 {
    let (e, n) = mish_parts(x);
    let d = 1.0 / (n + 2.0);
    n * d + x * (4.0 * (n + 1.0) * d * d) * (e / (1.0 + e))
}

/// `2/√π · ∫₀ˣ e^−t² dt`.
pub(super) fn erf(x: f32) -> f32 {
    libm::erff(x)
}

#[inline(always)]
pub(super) fn erf_slope(x: f32) -> f32 {
    let near = x.clamp(-20.0, 20.0);
    core::f32::consts::FRAC_2_SQRT_PI * exp(-near * near)
}

#[inline(always)]
pub(super) fn reciprocal(x: f32) -> f32 {
    1.0 / x
}

#[inline(always)]
pub(super) fn reciprocal_slope(x: f32) -> f32 {
    let r = 1.0 / x;
    -(r * r)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Function = (&'static str, fn(f32) -> f32, fn(f32) -> f32);

    const FUNCTIONS: [Function; 13] = [
        ("leaky_relu", |x| leaky_relu(x, 0.01), |x| leaky_relu_slope(x, 0.01)),
        ("elu", |x| elu(x, 1.0), |x| elu_slope(x, 1.0)),
        ("selu", selu, selu_slope),
        ("gelu", gelu, gelu_slope),
        ("gelu_tanh", gelu_tanh, gelu_tanh_slope),
        ("tanh", tanh, tanh_slope),
        ("softplus", softplus, softplus_slope),
        ("softsign", softsign, softsign_slope),
        ("hard_sigmoid", |x| hard_sigmoid(x, 0.2, 0.5), |x| hard_sigmoid_slope(x, 0.2, 0.5)),
        ("hard_swish", hard_swish, hard_swish_slope),
        ("swish", swish, swish_slope),
        ("mish", mish, mish_slope),
        ("erf", erf, erf_slope),
    ];

    #[test]
    fn large_arguments_neither_overflow_nor_hide_nan() {
        for (name, f, slope) in FUNCTIONS {
            for x in [-1e30, -1e4, -100.0, -0.0, 0.0, 100.0, 1e4, 1e30] {
                assert!(f(x).is_finite() && slope(x).is_finite(), "{name}({x}) is {}, its slope {}", f(x), slope(x));
            }
            assert!(f(f32::NAN).is_nan(), "{name} hides NaN");
        }
    }
}
