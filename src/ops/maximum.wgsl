fn f(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    // NaN wins: comparisons with it are false.
    return select(select(b, a, a >= b), a, a != a);
}
