// Σ x² or Σ x of a large value: each workgroup sums every `rows`-th run of WG elements.
struct Params { first: u32, width: u32, rows: u32, along: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

override SQUARES: bool;

fn work(row: u32, lid: u32) {
    var sum = 0.0;
    for (var i = row * WG + lid; i < p.along; i += p.rows * WG) {
        sum += select(x[i], x[i] * x[i], SQUARES);
    }
    sum = total(lid, sum);
    if (lid == 0u) {
        y[row] = sum;
    }
}
