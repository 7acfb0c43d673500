@group(0) @binding(2) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

fn update(i: u32) {
    w[i] -= scalars[0] * dw[i];
}
