// Scales the weights into a unit, a column of w, to the wanted norm. `rows` are the units.
struct Params { first: u32, width: u32, rows: u32, along: u32, low: f32, high: f32, rate: f32, epsilon: f32 }

@group(0) @binding(0) var<storage, read_write> w: array<f32>;
@group(0) @binding(1) var<uniform> p: Params;

fn work(row: u32, lid: u32) {
    var squares = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        let v = w[i * p.rows + row];
        squares += v * v;
    }
    let norm = sqrt(total(lid, squares));
    let raised = select(norm, p.low, norm < p.low);
    let wanted = p.rate * select(raised, p.high, raised > p.high) + (1.0 - p.rate) * norm;
    let factor = wanted / (norm + p.epsilon);
    for (var i = lid; i < p.along; i += WG) {
        w[i * p.rows + row] *= factor;
    }
}
