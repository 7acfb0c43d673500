fn f(x: vec4<f32>) -> vec4<f32> {
    return x + p.a;
}
