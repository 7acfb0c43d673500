// A workgroup a row. The op brings `work`, and a `Params` that has `rows`.
override WG: u32;

var<workgroup> parts: array<f32, WG>;

// The sum over the workgroup, always in the same order. All invocations have to call it.
fn total(lid: u32, value: f32) -> f32 {
    workgroupBarrier();
    parts[lid] = value;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lid < half) {
            parts[lid] += parts[lid + half];
        }
    }
    workgroupBarrier();
    return parts[0];
}

// The largest value of the workgroup. All invocations have to call it.
fn largest(lid: u32, value: f32) -> f32 {
    workgroupBarrier();
    parts[lid] = value;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lid < half) {
            parts[lid] = max(parts[lid], parts[lid + half]);
        }
    }
    workgroupBarrier();
    return parts[0];
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = p.first + wid.y * p.width + wid.x;
    if (row < p.rows) {
        work(row, lid);
    }
}
