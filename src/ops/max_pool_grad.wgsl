// A cell gets the gradient of each window in which it is the first largest in row-major order.
struct Params {
    first: u32, width: u32, count: u32, channels: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32,
    stride_h: u32, stride_w: u32, dilation_h: u32, dilation_w: u32, top: u32, left: u32,
}

override WG: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

// Whether an earlier cell of the window whose first cell is (top, left) is as large.
fn earlier(image: u32, top: u32, left: u32, tap: u32, c: u32, largest: f32) -> bool {
    for (var t = 0u; t < tap; t++) {
        let h = top + t / p.kw * p.dilation_h;
        let v = left + t % p.kw * p.dilation_w;
        if (h < p.h && v < p.w && x[((image + h) * p.w + v) * p.channels + c] == largest) {
            return true;
        }
    }
    return false;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let index = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (index >= p.count) {
        return;
    }
    let c = index % p.channels;
    let cell = index / p.channels;
    let row = cell / p.w % p.h + p.top;
    let column = cell % p.w + p.left;
    let image = cell / (p.w * p.h);
    var sum = 0.0;
    for (var tap = 0u; tap < p.kh * p.kw; tap++) {
        // What lies before the first window wraps around to a large number.
        let top = row - tap / p.kw * p.dilation_h;
        let left = column - tap % p.kw * p.dilation_w;
        if (top >= p.oh * p.stride_h || left >= p.ow * p.stride_w || top % p.stride_h != 0u || left % p.stride_w != 0u) {
            continue;
        }
        let at = ((image * p.oh + top / p.stride_h) * p.ow + left / p.stride_w) * p.channels + c;
        if (x[index] == y[at] && !earlier(image * p.h, top - p.top, left - p.left, tap, c, y[at])) {
            sum += dy[at];
        }
    }
    dx[index] = sum;
}
