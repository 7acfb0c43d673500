// Sums over some dimensions of x. A dimension is (extent, stride in x): those that stay, the last one first, then those that go.
struct Params {
    first: u32, width: u32, rows: u32, along: u32, kept: u32, summed: u32,
    dims: array<vec4<u32>, 6>,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

fn work(row: u32, lid: u32) {
    var start = 0u;
    var rest = row;
    for (var d = 0u; d < p.kept; d++) {
        start += rest % p.dims[d].x * p.dims[d].y;
        rest /= p.dims[d].x;
    }
    var sum = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        var at = start;
        rest = i;
        for (var d = p.kept; d < p.kept + p.summed; d++) {
            at += rest % p.dims[d].x * p.dims[d].y;
            rest /= p.dims[d].x;
        }
        sum += x[at];
    }
    sum = total(lid, sum);
    if (lid == 0u) {
        y[row] = sum;
    }
}
