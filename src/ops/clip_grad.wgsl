override LOW: f32;
override HIGH: f32;

fn f(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), dy, (y > vec4<f32>(LOW)) & (y < vec4<f32>(HIGH)));
}
