fn f(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return dy * y * (1.0 - y);
}
