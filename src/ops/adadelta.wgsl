@group(0) @binding(2) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> s: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> u: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> p: Params;

fn update(i: u32) {
    let d = dw[i];
    let next = p.a * s[i] + (1.0 - p.a) * d * d;
    s[i] = next;
    let step = d * sqrt((u[i] + p.b) / (next + p.b));
    u[i] = p.a * u[i] + (1.0 - p.a) * step * step;
    w[i] -= scalars[0] * step;
}
