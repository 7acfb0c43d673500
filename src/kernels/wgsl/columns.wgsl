// Sums over the rows of a matrix, `run` of them at a time, each run into a row of y. A workgroup has COLUMNS columns, its invocations
// share the rows (`total`). The op brings `term`, of an element and its column, `factor`, of the sum of a column, and the bindings. A column is an element, or four where T is a
// vector.
struct Params { first: u32, width: u32, parts: u32, tiles: u32, columns: u32, rows: u32, run: u32, scale: f32, epsilon: f32 }

override WG: u32;
override COLUMNS: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let group = p.first + wid.y * p.width + wid.x;
    let part = group / p.tiles;
    if (part >= p.parts) {
        return;
    }
    let column = group % p.tiles * COLUMNS + lid % COLUMNS;
    // Columns beyond the last do its work over again, so that all invocations meet at the barriers.
    let at = min(column, p.columns - 1u);
    let slices = WG / COLUMNS;
    let end = min((part + 1u) * p.run, p.rows);
    var sum = T();
    for (var row = part * p.run + lid / COLUMNS; row < end; row += slices) {
        sum += term(row * p.columns + at, at);
    }
    sum = total(lid, sum);
    if (lid < COLUMNS && column < p.columns) {
        y[part * p.columns + column] = p.scale * factor(column) * sum;
    }
}
