// Unlike `clamp`, comparisons leave NaN as it is.
override LOW: f32;
override HIGH: f32;

fn f(x: vec4<f32>) -> vec4<f32> {
    let raised = select(x, vec4<f32>(LOW), x < vec4<f32>(LOW));
    return select(raised, vec4<f32>(HIGH), raised > vec4<f32>(HIGH));
}
