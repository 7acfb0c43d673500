fn f(w: vec4<f32>, dw: vec4<f32>) -> vec4<f32> {
    return dw + p.a * sign(w) + p.b * w;
}
