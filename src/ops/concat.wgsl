// One input's part of each run of y. A run is what lies behind one index of the outer dimensions.
struct Params { first: u32, width: u32, count: u32, part: u32, run: u32, start: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i < p.count) {
        y[i / p.part * p.run + p.start + i % p.part] = x[i];
    }
}
