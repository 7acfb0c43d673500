struct Params { first: u32, width: u32, rows: u32, along: u32, epsilon: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

fn work(row: u32, lid: u32) {
    let start = row * p.along;
    var squares = 0.0;
    var dot = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        squares += x[start + i] * x[start + i];
        dot += x[start + i] * dy[start + i];
    }
    let square = total(lid, squares);
    dot = total(lid, dot);
    let norm = sqrt(square);
    for (var i = lid; i < p.along; i += WG) {
        if (norm > p.epsilon) {
            dx[start + i] = (dy[start + i] - x[start + i] * (dot / square)) / norm;
        } else {
            dx[start + i] = dy[start + i] / p.epsilon;
        }
    }
}
