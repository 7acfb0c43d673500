@group(0) @binding(2) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> u: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> p: Params;

fn update(i: u32) {
    let d = dw[i];
    let next_m = p.a * m[i] + (1.0 - p.a) * d;
    m[i] = next_m;
    let next_u = max(p.b * u[i], abs(d));
    u[i] = next_u;
    w[i] -= scalars[0] * scalars[1] * next_m / (next_u + p.c);
}
