struct Params { first: u32, width: u32, rows: u32, along: u32, epsilon: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

fn work(row: u32, lid: u32) {
    let start = row * p.along;
    var sum = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        sum += x[start + i];
    }
    let mean = total(lid, sum) / f32(p.along);
    var squares = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        let d = x[start + i] - mean;
        squares += d * d;
    }
    let r = inverseSqrt(total(lid, squares) / f32(p.along) + p.epsilon);
    for (var i = lid; i < p.along; i += WG) {
        y[start + i] = (x[start + i] - mean) * r * gamma[i] + beta[i];
    }
}
