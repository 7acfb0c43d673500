struct Params { first: u32, width: u32, rows: u32, along: u32, epsilon: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

fn work(row: u32, lid: u32) {
    let start = row * p.along;
    var squares = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        squares += x[start + i] * x[start + i];
    }
    let norm = max(sqrt(total(lid, squares)), p.epsilon);
    for (var i = lid; i < p.along; i += WG) {
        y[start + i] = x[start + i] / norm;
    }
}
