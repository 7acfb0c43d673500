// Mean over the cells of an image, one invocation a channel, or four channels where T is a vector.
struct Params { first: u32, width: u32, count: u32, channels: u32, cells: u32 }

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
    var at = i / p.channels * p.cells * p.channels + i % p.channels;
    var sum = T();
    for (var cell = 0u; cell < p.cells; cell++) {
        sum += x[at];
        at += p.channels;
    }
    y[i] = sum / f32(p.cells);
}
