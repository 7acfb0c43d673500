// Cells of one value around x. A dimension is (extent of y, cells before x, extent of x), the last one first.
struct Params { first: u32, width: u32, count: u32, rank: u32, dims: array<vec4<u32>, 6>, value: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i >= p.count) {
        return;
    }
    var rest = i;
    var at = 0u;
    var stride = 1u;
    var inside = true;
    for (var d = 0u; d < p.rank; d++) {
        let dim = p.dims[d];
        // Cells before x wrap around to large numbers.
        let index = rest % dim.x - dim.y;
        inside = inside && index < dim.z;
        at += index * stride;
        stride *= dim.z;
        rest /= dim.x;
    }
    y[i] = select(p.value, x[select(0u, at, inside)], inside);
}
