// 16-bit floats as 32-bit ones, four an invocation. Devices may read subnormal ones as 0: those are computed.
struct Params { first: u32, width: u32, count: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i < p.count) {
        y[i] = vec4<f32>(widen(x[i].x), widen(x[i].y));
    }
}

fn widen(pair: u32) -> vec2<f32> {
    let bits = vec2<u32>(pair, pair >> 16u);
    let magnitude = bits & vec2<u32>(0x7fffu);
    // Multiples of 2^-24.
    let small = vec2<f32>(magnitude) * select(vec2<f32>(0x1p-24), vec2<f32>(-0x1p-24), (bits & vec2<u32>(0x8000u)) != vec2<u32>());
    return select(unpack2x16float(pair), small, magnitude < vec2<u32>(0x400u));
}
