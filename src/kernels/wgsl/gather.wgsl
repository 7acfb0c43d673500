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
    for (var d = 0u; d < p.rank; d++) {
        let dim = p.dims[d];
        at += (rest % dim.x) * dim.y;
        rest /= dim.x;
    }
    y[i] = x[at];
}
