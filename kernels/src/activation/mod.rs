//! Elementwise functions and their gradients.

mod scalar;

/// `name(x, attributes, y)`: `y = f(x)`, and `name_dx(x, dy, attributes, dx)`: `dx = f'(x) · dy`. Each is a loop of its own, into
/// which the function is inlined.
macro_rules! functions {
    ($($(#[$doc:meta])* $f:ident, $dx:ident: $slope:ident($($a:ident),*);)*) => {$(
        $(#[$doc])*
        pub fn $f(x: &[f32], $($a: f32,)* y: &mut [f32]) {
            debug_assert_eq!(x.len(), y.len());
            y.iter_mut().zip(x).for_each(|(y, x)| *y = scalar::$f(*x $(, $a)*));
        }

        #[doc = concat!("Gradient of [`", stringify!($f), "`].")]
        pub fn $dx(x: &[f32], dy: &[f32], $($a: f32,)* dx: &mut [f32]) {
            debug_assert!(x.len() == dx.len() && dy.len() == dx.len());
            dx.iter_mut().zip(x.iter().zip(dy)).for_each(|(dx, (x, dy))| *dx = scalar::$slope(*x $(, $a)*) * dy);
        }
    )*};
}

functions! {
    /// `x` above 0, `slope · x` elsewhere.
    leaky_relu, leaky_relu_dx: leaky_relu_slope(slope);
    /// `x` above 0, `alpha · (e^x − 1)` elsewhere.
    elu, elu_dx: elu_slope(alpha);
    /// `λ · elu(x, α)` (Klambauer et al. 2017).
    selu, selu_dx: selu_slope();
    /// `x · Φ(x)`.
    gelu, gelu_dx: gelu_slope();
    /// [`gelu`] through the hyperbolic tangent.
    gelu_tanh, gelu_tanh_dx: gelu_tanh_slope();
    /// The hyperbolic tangent.
    tanh, tanh_dx: tanh_slope();
    /// `ln(1 + e^x)`.
    softplus, softplus_dx: softplus_slope();
    /// `x / (1 + |x|)`.
    softsign, softsign_dx: softsign_slope();
    /// `min(max(alpha · x + beta, 0), 1)`.
    hard_sigmoid, hard_sigmoid_dx: hard_sigmoid_slope(alpha, beta);
    /// `x · min(max(x + 3, 0), 6) / 6`.
    hard_swish, hard_swish_dx: hard_swish_slope();
    /// `x / (1 + e^−x)`.
    swish, swish_dx: swish_slope();
    /// `x · tanh(ln(1 + e^x))`.
    mish, mish_dx: mish_slope();
    /// The error function.
    erf, erf_dx: erf_slope();
    /// `1 / x`.
    reciprocal, reciprocal_dx: reciprocal_slope();
}
