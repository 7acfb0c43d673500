// Rows whose elements are `inner` apart.
struct Params { first: u32, width: u32, rows: u32, along: u32, inner: u32 }

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

fn work(row: u32, lid: u32) {
    let start = row / p.inner * p.along * p.inner + row % p.inner;
    var dot = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        let at = start + i * p.inner;
        dot += y[at] * dy[at];
    }
    dot = total(lid, dot);
    for (var i = lid; i < p.along; i += WG) {
        let at = start + i * p.inner;
        dx[at] = y[at] * (dy[at] - dot);
    }
}
