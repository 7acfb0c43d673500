// y is filled from x by strides: transposes, slices, broadcasts. T is an element, or four of them.
// A dimension of y is (extent, stride in x), the last one first; `offset` is where x is first read.
struct Params { first: u32, width: u32, count: u32, rank: u32, dims: array<vec4<u32>, 6>, offset: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
@group(0) @binding(2) var<uniform> p: Params;

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i >= p.count) {
        return;
    }
    var rest = i;
    var at = p.offset;
    // What is left by then is the place in the last dimension; without any, it is 0.
    let last = max(p.rank, 1u) - 1u;
    for (var d = 0u; d < last; d++) {
        let dim = p.dims[d];
        let outer = rest / dim.x;
        at += (rest - outer * dim.x) * dim.y;
        rest = outer;
    }
    at += rest * p.dims[last].y;
    y[i] = x[at];
}
