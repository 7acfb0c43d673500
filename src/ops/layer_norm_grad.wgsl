struct Params { first: u32, width: u32, rows: u32, along: u32, epsilon: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

fn work(row: u32, lid: u32) {
    let start = row * p.along;
    let n = f32(p.along);
    var sum = 0.0;
    var sum_u = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        sum += x[start + i];
        sum_u += dy[start + i] * gamma[i];
    }
    let mean = total(lid, sum) / n;
    let mean_u = total(lid, sum_u) / n;
    var squares = 0.0;
    var products = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        let d = x[start + i] - mean;
        squares += d * d;
        products += dy[start + i] * gamma[i] * d;
    }
    let r = inverseSqrt(total(lid, squares) / n + p.epsilon);
    let mean_ux = total(lid, products) * r / n;
    for (var i = lid; i < p.along; i += WG) {
        let normalised = (x[start + i] - mean) * r;
        dx[start + i] = (dy[start + i] * gamma[i] - mean_u - normalised * mean_ux) * r;
    }
}
