// Functions of one number and their derivatives, `…_value` and `…_slope`; a and b are alpha and beta.
// Bounds are comparisons that leave NaN as it is, so that no result hides it.
fn clamped(x: vec4<f32>, low: f32, high: f32) -> vec4<f32> {
    let raised = select(x, vec4<f32>(low), x < vec4<f32>(low));
    return select(raised, vec4<f32>(high), raised > vec4<f32>(high));
}

fn below(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(), x > vec4<f32>());
}

fn logistic(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    return select(e, vec4<f32>(1.0), x >= vec4<f32>()) / (1.0 + e);
}

fn leaky_relu_value(x: vec4<f32>) -> vec4<f32> {
    return select(p.a * x, x, x > vec4<f32>());
}

fn leaky_relu_slope(x: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(p.a), vec4<f32>(1.0), x > vec4<f32>());
}

fn elu_value(x: vec4<f32>) -> vec4<f32> {
    return select(p.a * (exp(below(x)) - 1.0), x, x > vec4<f32>());
}

fn elu_slope(x: vec4<f32>) -> vec4<f32> {
    return select(p.a * exp(below(x)), vec4<f32>(1.0), x > vec4<f32>());
}

// λ and λ·α of Klambauer et al. 2017, equation 14.
fn selu_value(x: vec4<f32>) -> vec4<f32> {
    return select(1.7580993 * (exp(below(x)) - 1.0), 1.050701 * x, x > vec4<f32>());
}

fn selu_slope(x: vec4<f32>) -> vec4<f32> {
    return select(1.7580993 * exp(below(x)), vec4<f32>(1.050701), x > vec4<f32>());
}

// Good to 1.5e-7 (Abramowitz & Stegun 1964, 7.1.26).
fn erf_value(x: vec4<f32>) -> vec4<f32> {
    let z = abs(clamped(x, -20.0, 20.0));
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let sum = t * (0.2548296 + t * (-0.28449674 + t * (1.4214137 + t * (-1.453152 + t * 1.0614054))));
    let y = 1.0 - sum * exp(-z * z);
    return select(y, -y, x < vec4<f32>());
}

fn erf_slope(x: vec4<f32>) -> vec4<f32> {
    let near = clamped(x, -20.0, 20.0);
    return 1.1283792 * exp(-near * near);
}

fn gelu_value(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * x * (1.0 + erf_value(x * 0.70710677));
}

fn gelu_slope(x: vec4<f32>) -> vec4<f32> {
    let near = clamped(x, -20.0, 20.0);
    return 0.5 * (1.0 + erf_value(x * 0.70710677)) + near * 0.3989423 * exp(-0.5 * near * near);
}

// Twice the argument of the tangent.
fn gelu_argument(x: vec4<f32>) -> vec4<f32> {
    return 1.5957692 * (x + 0.044715 * x * x * x);
}

fn gelu_tanh_value(x: vec4<f32>) -> vec4<f32> {
    return x * logistic(gelu_argument(clamped(x, -20.0, 20.0)));
}

fn gelu_tanh_slope(x: vec4<f32>) -> vec4<f32> {
    let near = clamped(x, -20.0, 20.0);
    let s = logistic(gelu_argument(near));
    return s + near * s * (1.0 - s) * 1.5957692 * (1.0 + 0.134145 * near * near);
}

fn tanh_value(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-2.0 * abs(x));
    let y = (1.0 - e) / (1.0 + e);
    return select(y, -y, x < vec4<f32>());
}

fn tanh_slope(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-2.0 * abs(x));
    return 4.0 * e / ((1.0 + e) * (1.0 + e));
}

fn softplus_value(x: vec4<f32>) -> vec4<f32> {
    return x - below(x) + log(1.0 + exp(-abs(x)));
}

fn softplus_slope(x: vec4<f32>) -> vec4<f32> {
    return logistic(x);
}

fn softsign_value(x: vec4<f32>) -> vec4<f32> {
    return x / (1.0 + abs(x));
}

fn softsign_slope(x: vec4<f32>) -> vec4<f32> {
    let d = 1.0 / (1.0 + abs(x));
    return d * d;
}

fn hard_sigmoid_value(x: vec4<f32>) -> vec4<f32> {
    return clamped(p.a * x + p.b, 0.0, 1.0);
}

fn hard_sigmoid_slope(x: vec4<f32>) -> vec4<f32> {
    let y = p.a * x + p.b;
    return select(vec4<f32>(), vec4<f32>(p.a), (y > vec4<f32>()) & (y < vec4<f32>(1.0)));
}

fn hard_swish_value(x: vec4<f32>) -> vec4<f32> {
    return x * clamped(x + 3.0, 0.0, 6.0) / 6.0;
}

fn hard_swish_slope(x: vec4<f32>) -> vec4<f32> {
    let inside = select(x / 3.0 + 0.5, vec4<f32>(1.0), x >= vec4<f32>(3.0));
    return select(inside, vec4<f32>(), x <= vec4<f32>(-3.0));
}

fn swish_value(x: vec4<f32>) -> vec4<f32> {
    return x * logistic(x);
}

fn swish_slope(x: vec4<f32>) -> vec4<f32> {
    let s = logistic(x);
    return s + x * s * logistic(-x);
}

// With n = e^2x + 2·e^x, tanh(ln(1 + e^x)) is n / (n + 2).
fn mish_value(x: vec4<f32>) -> vec4<f32> {
    let e = exp(clamped(x, -110.0, 20.0));
    let n = e * (e + 2.0);
    return x * (n / (n + 2.0));
}

fn mish_slope(x: vec4<f32>) -> vec4<f32> {
    let e = exp(clamped(x, -110.0, 20.0));
    let n = e * (e + 2.0);
    let d = 1.0 / (n + 2.0);
    return n * d + x * (4.0 * (n + 1.0) * d * d) * (e / (1.0 + e));
}

fn reciprocal_value(x: vec4<f32>) -> vec4<f32> {
    return 1.0 / x;
}

fn reciprocal_slope(x: vec4<f32>) -> vec4<f32> {
    return -1.0 / (x * x);
}
