//! Elementary functions without branches or calls, so that loops over them are vectorised.

/// `e^x` to 2 ulp for x in -87.3..88; 0 below, `e^88` above; NaN stays.
///
/// After Cephes expf (Moshier 1989): `x = n·ln 2 + r`, a degree-5 polynomial for `r² p(r)`, then `2^n` through the exponent.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    /// 1.5·2^23: adding it rounds to an integer that then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// From here on the result would be subnormal.
    const LOWEST: f32 = -87.3;
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HI) - n * LN2_LO;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    let e_r = p * (r * r) + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < LOWEST { 0.0 } else { e_r * power }
}

#[cfg(test)]
mod tests {
    use super::exp;

    /// The bound the doc comment states.
    const ULPS: f64 = 2.0;

    #[test]
    fn exp_is_within_its_bound() {
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let expected = f64::from(x).exp();
            let ulp = f64::from(f32::from_bits((expected as f32).to_bits() + 1)) - f64::from(expected as f32);
            let error = (f64::from(exp(x)) - expected).abs() / ulp;
            assert!(error <= ULPS, "exp({x}) is {error} ulp off");
        }
    }

    #[test]
    fn exp_saturates_and_passes_nan() {
        assert!(exp(-1e30) == 0.0 && exp(f32::NEG_INFINITY) == 0.0);
        assert!(exp(f32::INFINITY) > 8e37 && exp(1e30) > 8e37);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }
}
