// v = Bᵀ d B for each patch of 6×6 pixels and each channel: F(4×4, 3×3) of `regraft_kernels::winograd`, an invocation a tile and channel,
// so that neighbours read what lies together. `x` is NHWC, `v` is [tile, 36, channel].
struct Params {
    first: u32, width: u32, count: u32, channels: u32, h: u32, w: u32, down: u32, across: u32, top: u32, left: u32, first_tile: u32
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> v: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

override WG: u32;

const SQRT_2 = 1.4142135623730951;

struct Six { a: f32, b: f32, c: f32, d: f32, e: f32, f: f32 }

fn transform(d: Six) -> Six {
    let near = vec2<f32>(d.e - 2.0 * d.c, (d.d - 2.0 * d.b) * (0.5 * SQRT_2));
    let far = vec2<f32>(d.e - 0.5 * d.c, (d.d - 0.5 * d.b) * SQRT_2);
    return Six(d.a + d.e - 2.5 * d.c, near.x + near.y, near.x - near.y, far.x + far.y, far.x - far.y, d.b + d.f - 2.5 * d.d);
}

// What lies left of or above the image has wrapped around to large numbers.
fn load(row: u32, column: u32, image: u32, channel: u32) -> f32 {
    let inside = row < p.h && column < p.w;
    return select(0.0, x[select(0u, (image * p.h + row) * p.w + column, inside) * p.channels + channel], inside);
}

fn load_column(row: u32, column: u32, image: u32, channel: u32) -> Six {
    return transform(Six(
        load(row, column, image, channel), load(row + 1u, column, image, channel), load(row + 2u, column, image, channel),
        load(row + 3u, column, image, channel), load(row + 4u, column, image, channel), load(row + 5u, column, image, channel),
    ));
}

fn store_row(at: u32, d: Six) {
    let y = transform(d);
    v[at] = y.a;
    v[at + p.channels] = y.b;
    v[at + 2u * p.channels] = y.c;
    v[at + 3u * p.channels] = y.d;
    v[at + 4u * p.channels] = y.e;
    v[at + 5u * p.channels] = y.f;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i >= p.count) { return; }
    let channel = i % p.channels;
    let tile = p.first_tile + i / p.channels;
    let column = tile % p.across * 4u - p.left;
    let row = tile / p.across % p.down * 4u - p.top;
    let image = tile / (p.across * p.down);
    let c0 = load_column(row, column, image, channel);
    let c1 = load_column(row, column + 1u, image, channel);
    let c2 = load_column(row, column + 2u, image, channel);
    let c3 = load_column(row, column + 3u, image, channel);
    let c4 = load_column(row, column + 4u, image, channel);
    let c5 = load_column(row, column + 5u, image, channel);
    let at = i / p.channels * 36u * p.channels + channel;
    store_row(at, Six(c0.a, c1.a, c2.a, c3.a, c4.a, c5.a));
    store_row(at + 6u * p.channels, Six(c0.b, c1.b, c2.b, c3.b, c4.b, c5.b));
    store_row(at + 12u * p.channels, Six(c0.c, c1.c, c2.c, c3.c, c4.c, c5.c));
    store_row(at + 18u * p.channels, Six(c0.d, c1.d, c2.d, c3.d, c4.d, c5.d));
    store_row(at + 24u * p.channels, Six(c0.e, c1.e, c2.e, c3.e, c4.e, c5.e));
    store_row(at + 30u * p.channels, Six(c0.f, c1.f, c2.f, c3.f, c4.f, c5.f));
}
