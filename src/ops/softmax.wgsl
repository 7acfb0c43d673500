// Softmax of rows whose elements are `inner` apart, a workgroup a row.
struct Params { first: u32, width: u32, rows: u32, along: u32, inner: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

override WG: u32;

var<workgroup> parts: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    // Rows beyond the last do its work over again, so that all invocations meet at the barriers.
    let row = min(p.first + wid.y * p.width + wid.x, p.rows - 1u);
    let start = row / p.inner * p.along * p.inner + row % p.inner;

    var largest = x[start];
    for (var i = lid; i < p.along; i += WG) {
        largest = max(largest, x[start + i * p.inner]);
    }
    parts[lid] = largest;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lid < half) {
            parts[lid] = max(parts[lid], parts[lid + half]);
        }
    }
    workgroupBarrier();
    largest = parts[0];
    workgroupBarrier();

    var sum = 0.0;
    for (var i = lid; i < p.along; i += WG) {
        sum += exp(x[start + i * p.inner] - largest);
    }
    parts[lid] = sum;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lid < half) {
            parts[lid] += parts[lid + half];
        }
    }
    workgroupBarrier();
    sum = parts[0];

    for (var i = lid; i < p.along; i += WG) {
        let at = start + i * p.inner;
        y[at] = exp(x[at] - largest) / sum;
    }
}
