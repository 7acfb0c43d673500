struct Params { first: u32, width: u32, rows: u32, along: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

fn work(row: u32, lid: u32) {
    let start = row * p.along;
    var top = x[start];
    for (var i = lid; i < p.along; i += WG) {
        top = max(top, x[start + i]);
    }
    top = largest(lid, top);
    var sum = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        sum += exp(x[start + i] - top);
    }
    let log_sum = log(total(lid, sum));
    var loss = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        loss += t[start + i] * (log_sum - (x[start + i] - top));
    }
    loss = total(lid, loss);
    if (lid == 0u) {
        losses[row] = loss;
    }
}
