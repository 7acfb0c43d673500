// The mean of the cells under each window. Cells from `low` to `high` of the padded image count.
struct Params {
    first: u32, width: u32, count: u32, channels: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32,
    stride_h: u32, stride_w: u32, dilation_h: u32, dilation_w: u32, top: u32, left: u32,
    low_h: u32, low_w: u32, high_h: u32, high_w: u32,
}

override WG: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

// Taps of a window that count: its first lies at `start`, cells from `low` to `high` count, all of them in the padded image.
fn taps(start: u32, taps: u32, dilation: u32, low: u32, high: u32) -> u32 {
    let first = select(0u, (low - start + dilation - 1u) / dilation, start < low);
    let end = select(0u, min((high - start + dilation - 1u) / dilation, taps), start < high);
    return end - first;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let index = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (index >= p.count) {
        return;
    }
    let c = index % p.channels;
    let cell = index / p.channels;
    let top = cell / p.ow % p.oh * p.stride_h;
    let left = cell % p.ow * p.stride_w;
    let image = cell / (p.ow * p.oh) * p.h;
    var sum = 0.0;
    for (var tap_h = 0u; tap_h < p.kh; tap_h++) {
        for (var tap_w = 0u; tap_w < p.kw; tap_w++) {
            // Positions left of or above the image wrap around to large numbers.
            let h = top + tap_h * p.dilation_h - p.top;
            let v = left + tap_w * p.dilation_w - p.left;
            if (h < p.h && v < p.w) {
                sum += x[((image + h) * p.w + v) * p.channels + c];
            }
        }
    }
    let rows = taps(top, p.kh, p.dilation_h, p.low_h, p.high_h);
    y[index] = sum / f32(rows * taps(left, p.kw, p.dilation_w, p.low_w, p.high_w));
}
