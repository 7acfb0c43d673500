@group(0) @binding(2) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> p: Params;

fn update(i: u32) {
    let step = scalars[0] * dw[i];
    let next = scalars[1] * v[i] - step;
    v[i] = next;
    w[i] += scalars[1] * next - step;
}
