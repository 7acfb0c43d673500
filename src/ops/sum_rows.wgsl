// Sums each column over `run` rows at a time, into a row of y. A workgroup has COLUMNS columns, its invocations share the rows.
// A column is an element, or four where T is a vector.
struct Params { first: u32, width: u32, parts: u32, tiles: u32, columns: u32, rows: u32, run: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
@group(0) @binding(2) var<uniform> p: Params;

override WG: u32;
override COLUMNS: u32;

var<workgroup> parts: array<T, WG>;

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
        sum += x[row * p.columns + at];
    }
    parts[lid] = sum;
    for (var half = slices / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lid < half * COLUMNS) {
            parts[lid] += parts[lid + half * COLUMNS];
        }
    }
    if (lid < COLUMNS && column < p.columns) {
        y[part * p.columns + column] = parts[lid];
    }
}
