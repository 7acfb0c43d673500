// The share of one input: dy where it is the larger one. a and b are broadcast to the dimensions of dy.
// A dimension is (extent, stride in a, stride in b), the last one first.
struct Params { first: u32, width: u32, count: u32, rank: u32, dims: array<vec4<u32>, 6> }

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

override WG: u32;
override FIRST: bool;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i >= p.count) {
        return;
    }
    var rest = i;
    var at = vec2<u32>(0u);
    for (var d = 0u; d < p.rank; d++) {
        let dim = p.dims[d];
        at += (rest % dim.x) * dim.yz;
        rest /= dim.x;
    }
    dx[i] = select(0.0, dy[i], (a[at.x] >= b[at.y]) == FIRST);
}
