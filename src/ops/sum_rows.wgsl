// Sums each column over `run` rows at a time, into a row of y. A column is an element, or four where T is a vector.
struct Params { first: u32, width: u32, count: u32, columns: u32, rows: u32, run: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
@group(0) @binding(2) var<uniform> p: Params;

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i >= p.count) {
        return;
    }
    let column = i % p.columns;
    let row = i / p.columns * p.run;
    let end = min(row + p.run, p.rows);
    var sum = T();
    for (var r = row; r < end; r++) {
        sum += x[r * p.columns + column];
    }
    y[i] = sum;
}
