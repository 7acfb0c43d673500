// A cell gets its share of the gradient of each window that saw it. Cells from `low` to `high` of the padded image count.
struct Params {
    first: u32, width: u32, count: u32, channels: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32,
    stride_h: u32, stride_w: u32, dilation_h: u32, dilation_w: u32, top: u32, left: u32,
    low_h: u32, low_w: u32, high_h: u32, high_w: u32,
}

override WG: u32;

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
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
    let image = cell / (p.w * p.h) * p.oh;
    var sum = 0.0;
    for (var tap = 0u; tap < p.kh * p.kw; tap++) {
        // What lies before the first window wraps around to a large number.
        let top = cell / p.w % p.h + p.top - tap / p.kw * p.dilation_h;
        let left = cell % p.w + p.left - tap % p.kw * p.dilation_w;
        if (top >= p.oh * p.stride_h || left >= p.ow * p.stride_w || top % p.stride_h != 0u || left % p.stride_w != 0u) {
            continue;
        }
        let rows = taps(top, p.kh, p.dilation_h, p.low_h, p.high_h);
        let count = rows * taps(left, p.kw, p.dilation_w, p.low_w, p.high_w);
        sum += dy[((image + top / p.stride_h) * p.ow + left / p.stride_w) * p.channels + c] / f32(count);
    }
    dx[index] = sum;
}
