//! Four f32 lanes: wasm SIMD where the build has it, elsewhere an array that LLVM vectorises.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod lanes {
    use core::arch::wasm32::*;

    pub(super) type Repr = v128;
    pub(super) const ZERO: v128 = f32x4(0.0, 0.0, 0.0, 0.0);

    #[inline(always)]
    pub(super) fn load(x: &[f32; 4]) -> v128 {
        // Safety: `x` is 16 readable bytes and v128 loads need no alignment.
        unsafe { v128_load(x.as_ptr().cast()) }
    }

    #[inline(always)]
    pub(super) fn store(x: v128, y: &mut [f32; 4]) {
        // Safety: `y` is 16 writable bytes and v128 stores need no alignment.
        unsafe { v128_store(y.as_mut_ptr().cast(), x) }
    }

    #[inline(always)]
    pub(super) fn splat(x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    pub(super) fn add(a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    pub(super) fn sub(a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }

    #[inline(always)]
    pub(super) fn mul(a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[inline(always)]
    pub(super) fn mul_add(a: v128, b: v128, c: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return f32x4_relaxed_madd(a, b, c);
        #[cfg(not(target_feature = "relaxed-simd"))]
        f32x4_add(f32x4_mul(a, b), c)
    }

    // The bound comes first: x86 min and max return their second operand where one is NaN, so NaN is passed on.
    #[inline(always)]
    pub(super) fn at_least(x: v128, lo: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return f32x4_relaxed_max(lo, x);
        #[cfg(not(target_feature = "relaxed-simd"))]
        f32x4_pmax(x, lo)
    }

    #[inline(always)]
    pub(super) fn at_most(x: v128, hi: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return f32x4_relaxed_min(hi, x);
        #[cfg(not(target_feature = "relaxed-simd"))]
        f32x4_pmin(x, hi)
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod lanes {
    // Written out: in test builds `array::from_fn` stays a call, and the networks of the tests took three times as long.
    pub(super) type Repr = [f32; 4];
    pub(super) const ZERO: Repr = [0.0; 4];

    #[inline(always)]
    pub(super) fn load(x: &Repr) -> Repr {
        *x
    }

    #[inline(always)]
    pub(super) fn store(x: Repr, y: &mut Repr) {
        *y = x;
    }

    #[inline(always)]
    pub(super) fn splat(x: f32) -> Repr {
        [x; 4]
    }

    #[inline(always)]
    pub(super) fn add(a: Repr, b: Repr) -> Repr {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }

    #[inline(always)]
    pub(super) fn sub(a: Repr, b: Repr) -> Repr {
        [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]]
    }

    #[inline(always)]
    pub(super) fn mul(a: Repr, b: Repr) -> Repr {
        [a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]]
    }

    #[inline(always)]
    pub(super) fn mul_add(a: Repr, b: Repr, c: Repr) -> Repr {
        [a[0] * b[0] + c[0], a[1] * b[1] + c[1], a[2] * b[2] + c[2], a[3] * b[3] + c[3]]
    }

    #[inline(always)]
    pub(super) fn at_least(x: Repr, lo: Repr) -> Repr {
        let max = |i: usize| if x[i] < lo[i] { lo[i] } else { x[i] };
        [max(0), max(1), max(2), max(3)]
    }

    #[inline(always)]
    pub(super) fn at_most(x: Repr, hi: Repr) -> Repr {
        let min = |i: usize| if hi[i] < x[i] { hi[i] } else { x[i] };
        [min(0), min(1), min(2), min(3)]
    }
}

/// `[f(0), f(1), …]`. Unlike `array::from_fn` and `array::map`, which some compilers leave as calls that pass arrays through
/// memory, it is always unrolled in place: in an innermost loop that is worth a factor of four.
#[inline(always)]
pub(super) fn unrolled<T: Copy, const N: usize>(first: T, mut f: impl FnMut(usize) -> T) -> [T; N] {
    let mut y = [first; N];
    for (i, y) in y.iter_mut().enumerate() {
        *y = f(i);
    }
    y
}

/// `x[i]` unchecked: with checks a depthwise convolution takes 1.6 times as long.
///
/// # Safety
///
/// `i` is below `x.len()`.
#[inline(always)]
pub(super) unsafe fn quad(x: &[[f32; LANES]], i: usize) -> F32x4 {
    debug_assert!(i < x.len());
    // Safety: the caller's.
    F32x4::load(unsafe { x.get_unchecked(i) })
}

/// Lanes of a vector.
pub(super) const LANES: usize = 4;

/// Four f32 lanes.
#[derive(Clone, Copy)]
pub(super) struct F32x4(lanes::Repr);

impl F32x4 {
    #[inline(always)]
    pub(super) fn splat(x: f32) -> Self {
        Self(lanes::splat(x))
    }

    #[inline(always)]
    pub(super) fn load(x: &[f32; 4]) -> Self {
        Self(lanes::load(x))
    }

    pub(super) const ZERO: Self = Self(lanes::ZERO);

    /// The lower and the upper half of eight floats.
    #[inline(always)]
    pub(super) fn load_pair(x: &[f32; 8]) -> [Self; 2] {
        let [x0, x1, x2, x3, x4, x5, x6, x7] = *x;
        [Self::load(&[x0, x1, x2, x3]), Self::load(&[x4, x5, x6, x7])]
    }

    #[inline(always)]
    pub(super) fn store(self, y: &mut [f32; 4]) {
        lanes::store(self.0, y);
    }

    /// The inverse of [`F32x4::load_pair`].
    #[inline(always)]
    pub(super) fn store_pair([lo, hi]: [Self; 2], y: &mut [f32; 8]) {
        let (y, _) = y.as_chunks_mut::<4>();
        lo.store(&mut y[0]);
        hi.store(&mut y[1]);
    }

    #[inline(always)]
    pub(super) fn add(self, b: Self) -> Self {
        Self(lanes::add(self.0, b.0))
    }

    #[inline(always)]
    pub(super) fn sub(self, b: Self) -> Self {
        Self(lanes::sub(self.0, b.0))
    }

    #[inline(always)]
    pub(super) fn mul(self, b: Self) -> Self {
        Self(lanes::mul(self.0, b.0))
    }

    /// `self * b + c`, rounded once in relaxed-SIMD builds on hardware with FMA, else twice.
    #[inline(always)]
    pub(super) fn mul_add(self, b: Self, c: Self) -> Self {
        Self(lanes::mul_add(self.0, b.0, c.0))
    }

    /// Each lane raised to `lo`; NaN stays.
    #[inline(always)]
    pub(super) fn at_least(self, lo: Self) -> Self {
        Self(lanes::at_least(self.0, lo.0))
    }

    /// Each lane lowered to `hi`; NaN stays.
    #[inline(always)]
    pub(super) fn at_most(self, hi: Self) -> Self {
        Self(lanes::at_most(self.0, hi.0))
    }
}

#[cfg(test)]
mod tests {
    use super::F32x4;

    fn lanes(x: F32x4) -> [f32; 4] {
        let mut y = [0.0; 4];
        x.store(&mut y);
        y
    }

    #[test]
    fn lanes_follow_scalar_arithmetic() {
        let x = F32x4::load(&[1.0, -2.0, 3.5, f32::NAN]);
        let [lo, hi] = F32x4::load_pair(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(lanes(lo.add(hi)), [4.0, 6.0, 8.0, 10.0]);
        assert_eq!((lanes(hi.sub(lo)), lanes(lo.mul(hi))), ([4.0; 4], [0.0, 5.0, 12.0, 21.0]));
        assert_eq!(lanes(lo.mul_add(hi, F32x4::splat(1.0))), [1.0, 6.0, 13.0, 22.0]);
        let clamped = lanes(x.at_least(F32x4::splat(0.0)).at_most(F32x4::splat(3.0)));
        assert_eq!(clamped[..3], [1.0, 0.0, 3.0]);
        assert!(clamped[3].is_nan());
    }
}
