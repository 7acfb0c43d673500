// y = factor · x, where the factor brings √s to the limit, or to 1 without one.
struct Params { first: u32, width: u32, count: u32, limit: f32, b: f32, c: f32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> s: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

override WG: u32;
override CLIPS: bool;
// Instead of a norm of 0.
override INSTEAD: f32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i >= p.count) {
        return;
    }
    let norm = sqrt(s[0]);
    var factor = 1.0;
    if (!CLIPS) {
        factor = 1.0 / select(norm, INSTEAD, norm == 0.0);
    } else if (norm > p.limit) {
        factor = p.limit / norm;
    }
    y[i] = factor * x[i];
}
