// The gradient of a cell is gathered from the outputs that saw it. A channel is an element, or four where T is a vector.
struct Params {
    first: u32, width: u32, count: u32, channels: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32,
    stride_h: u32, stride_w: u32, dilation_h: u32, dilation_w: u32, top: u32, left: u32,
}

@group(0) @binding(0) var<storage, read> dy: array<T>;
@group(0) @binding(1) var<storage, read> w: array<T>;
// What was clamped; without a clamp, something is bound here that is not read.
@group(0) @binding(2) var<storage, read> x: array<T>;
@group(0) @binding(3) var<storage, read_write> dx: array<T>;
@group(0) @binding(4) var<uniform> p: Params;

override WG: u32;
override MASK: bool;
override LOW: f32;
override HIGH: f32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let index = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (index >= p.count) {
        return;
    }
    let c = index % p.channels;
    let cell = index / p.channels;
    let image = cell / (p.w * p.h) * p.oh;
    var sum = T();
    for (var tap_h = 0u; tap_h < p.kh; tap_h++) {
        // What lies before the first output wraps around to a large number.
        let h = cell / p.w % p.h + p.top - tap_h * p.dilation_h;
        if (h >= p.oh * p.stride_h || h % p.stride_h != 0u) {
            continue;
        }
        let dy_row = (image + h / p.stride_h) * p.ow;
        for (var tap_w = 0u; tap_w < p.kw; tap_w++) {
            let v = cell % p.w + p.left - tap_w * p.dilation_w;
            if (v < p.ow * p.stride_w && v % p.stride_w == 0u) {
                let d = dy[(dy_row + v / p.stride_w) * p.channels + c];
                sum = fma(d, w[(tap_h * p.kw + tap_w) * p.channels + c], sum);
            }
        }
    }
    if (MASK) {
        sum = select(T(), sum, (x[index] > T(LOW)) & (x[index] < T(HIGH)));
    }
    dx[index] = sum;
}
