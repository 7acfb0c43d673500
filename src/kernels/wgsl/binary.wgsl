// y = f(a, b), elementwise on equal shapes. `f` is the op's, and so are the numbers a, b and c.
struct Params { first: u32, width: u32, count: u32, a: f32, b: f32, c: f32 }

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i < p.count) {
        y[i] = f(a[i], b[i]);
    }
}
