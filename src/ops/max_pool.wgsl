// The largest cell under each window.
struct Params {
    first: u32, width: u32, count: u32, channels: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32,
    stride_h: u32, stride_w: u32, dilation_h: u32, dilation_w: u32, top: u32, left: u32,
}

override WG: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let index = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (index >= p.count) {
        return;
    }
    let c = index % p.channels;
    let cell = index / p.channels;
    let top = cell / p.ow % p.oh * p.stride_h - p.top;
    let left = cell % p.ow * p.stride_w - p.left;
    let image = cell / (p.ow * p.oh) * p.h;
    var best = 0.0;
    var found = false;
    for (var tap_h = 0u; tap_h < p.kh; tap_h++) {
        for (var tap_w = 0u; tap_w < p.kw; tap_w++) {
            // Positions left of or above the image wrap around to large numbers.
            let h = top + tap_h * p.dilation_h;
            let v = left + tap_w * p.dilation_w;
            if (h < p.h && v < p.w) {
                let value = x[((image + h) * p.w + v) * p.channels + c];
                // NaN wins: comparisons with it are false.
                if (!found || !(value <= best)) {
                    best = value;
                    found = true;
                }
            }
        }
    }
    y[index] = best;
}
