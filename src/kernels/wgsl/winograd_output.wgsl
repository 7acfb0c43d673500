// y = clamp(Aᵀ m A + b + r) for the pixels of each tile of 4×4 that exist: an invocation a tile and channel. `m` is [tile, 36, channel],
// `y` and `r` are NHWC.
struct Params {
    first: u32, width: u32, count: u32, channels: u32, oh: u32, ow: u32, down: u32, across: u32, first_tile: u32
}

@group(0) @binding(0) var<storage, read> m: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> r: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

override WG: u32;
// Whether `b` and `r` are what is added, or bound for their place alone.
override BIAS: u32;
override RESIDUAL: u32;
override LOW: f32;
override HIGH: f32;

const SQRT_2 = 1.4142135623730951;

fn transform(a: f32, b: f32, c: f32, d: f32, e: f32, f: f32) -> vec4<f32> {
    let near = vec2<f32>(b + c, (b - c) * (0.5 * SQRT_2));
    let far = vec2<f32>(d + e, (d - e) * SQRT_2);
    return vec4<f32>(a + near.x + far.x, near.y + far.y, 0.5 * near.x + 2.0 * far.x, 0.5 * near.y + 2.0 * far.y + f);
}

fn load_column(at: u32) -> vec4<f32> {
    let line = 6u * p.channels;
    return transform(m[at], m[at + line], m[at + 2u * line], m[at + 3u * line], m[at + 4u * line], m[at + 5u * line]);
}

fn store(row: u32, column: u32, image: u32, channel: u32, sum: f32) {
    if (row >= p.oh || column >= p.ow) { return; }
    let at = ((image * p.oh + row) * p.ow + column) * p.channels + channel;
    var v = sum;
    if (RESIDUAL == 1u) { v += r[at]; }
    // Unlike `clamp`, comparisons leave NaN as it is.
    v = select(v, LOW, v < LOW);
    y[at] = select(v, HIGH, v > HIGH);
}

fn store_row(row: u32, column: u32, image: u32, channel: u32, sums: vec4<f32>) {
    store(row, column, image, channel, sums.x);
    store(row, column + 1u, image, channel, sums.y);
    store(row, column + 2u, image, channel, sums.z);
    store(row, column + 3u, image, channel, sums.w);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i >= p.count) { return; }
    let channel = i % p.channels;
    let at = i / p.channels * 36u * p.channels + channel;
    let c0 = load_column(at);
    let c1 = load_column(at + p.channels);
    let c2 = load_column(at + 2u * p.channels);
    let c3 = load_column(at + 3u * p.channels);
    let c4 = load_column(at + 4u * p.channels);
    let c5 = load_column(at + 5u * p.channels);
    var bias = 0.0;
    if (BIAS == 1u) { bias = b[channel]; }
    let tile = p.first_tile + i / p.channels;
    let column = tile % p.across * 4u;
    let row = tile / p.across % p.down * 4u;
    let image = tile / (p.across * p.down);
    store_row(row, column, image, channel, transform(c0.x, c1.x, c2.x, c3.x, c4.x, c5.x) + bias);
    store_row(row + 1u, column, image, channel, transform(c0.y, c1.y, c2.y, c3.y, c4.y, c5.y) + bias);
    store_row(row + 2u, column, image, channel, transform(c0.z, c1.z, c2.z, c3.z, c4.z, c5.z) + bias);
    store_row(row + 3u, column, image, channel, transform(c0.w, c1.w, c2.w, c3.w, c4.w, c5.w) + bias);
}
