// y = f(a, b), where a and b are broadcast to the dimensions of y. `f` is the op's, and `apply`
// applies it to T, an element or four.
// A dimension is (extent, stride in a, stride in b), the last one first.
struct Params { first: u32, width: u32, count: u32, rank: u32, dims: array<vec4<u32>, 6> }

@group(0) @binding(0) var<storage, read> a: array<T>;
@group(0) @binding(1) var<storage, read> b: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;
@group(0) @binding(3) var<uniform> p: Params;

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i >= p.count) {
        return;
    }
    var rest = i;
    var at = vec2<u32>(0u);
    // What is left by then is the place in the last dimension; without any, it is 0.
    let last = max(p.rank, 1u) - 1u;
    for (var d = 0u; d < last; d++) {
        let dim = p.dims[d];
        let outer = rest / dim.x;
        at += (rest - outer * dim.x) * dim.yz;
        rest = outer;
    }
    at += rest * p.dims[last].yz;
    y[i] = apply(a[at.x], b[at.y]);
}
