@group(0) @binding(2) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> s: array<vec4<f32>>;
@group(0) @binding(6) var<uniform> p: Params;

fn update(i: u32) {
    let d = dw[i];
    let next_m = p.a * m[i] + (1.0 - p.a) * d;
    m[i] = next_m;
    let next_v = p.b * v[i] + (1.0 - p.b) * d * d;
    v[i] = next_v;
    let next_s = max(s[i], next_v);
    s[i] = next_s;
    w[i] -= scalars[0] * scalars[1] * next_m / (sqrt(next_s) + p.c);
}
