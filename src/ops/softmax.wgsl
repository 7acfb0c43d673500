// Softmax of rows whose elements are `inner` apart.
struct Params { first: u32, width: u32, rows: u32, along: u32, inner: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

fn work(row: u32, lid: u32) {
    let start = row / p.inner * p.along * p.inner + row % p.inner;
    var top = x[start];
    for (var i = lid; i < p.along; i += WG) {
        top = max(top, x[start + i * p.inner]);
    }
    top = largest(lid, top);
    var sum = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        sum += exp(x[start + i * p.inner] - top);
    }
    sum = total(lid, sum);
    for (var i = lid; i < p.along; i += WG) {
        let at = start + i * p.inner;
        y[at] = exp(x[at] - top) / sum;
    }
}
