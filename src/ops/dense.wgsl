// y = clamp(x·w + b) for a few rows: a workgroup computes COLUMNS units of columns of one row, and its invocations share k (`total`).
// A unit T is a column, or four of them; `w` and `fn weight` are written in dense.rs.
struct Params { first: u32, width: u32, rows: u32, k: u32, columns: u32, tiles: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
// Without a bias, something is bound here that is not read, and so it is without factors of the columns.
@group(0) @binding(2) var<storage, read> b: array<T>;
@group(0) @binding(3) var<storage, read> f: array<T>;
@group(0) @binding(4) var<storage, read_write> y: array<T>;
@group(0) @binding(5) var<uniform> p: Params;

override WG: u32;
override COLUMNS: u32;
override BIAS: bool;
override HALVES: bool;
override LOW: f32;
override HIGH: f32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = p.first + wid.y * p.width + wid.x;
    let column = i % p.tiles * COLUMNS + lid % COLUMNS;
    // Rows and columns beyond the last do the last one's work over again, so that all invocations meet at the barriers.
    let row = min(i / p.tiles, p.rows - 1u);
    let at = min(column, p.columns - 1u);
    let slices = WG / COLUMNS;
    var sum = T();
    for (var k = lid / COLUMNS; k < p.k; k += slices) {
        sum = fma(T(x[row * p.k + k]), weight(k * p.columns + at), sum);
    }
    var v = total(lid, sum);
    if (lid < COLUMNS && column < p.columns) {
        if (HALVES) {
            v *= f[column];
        }
        if (BIAS) {
            v += b[column];
        }
        // Unlike `clamp`, comparisons leave NaN as it is.
        v = select(v, T(LOW), v < T(LOW));
        y[row * p.columns + column] = select(v, T(HIGH), v > T(HIGH));
    }
}
