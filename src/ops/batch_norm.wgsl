// Normalises with given statistics, and clamps. A channel is an element, or four where T is a vector.
struct Params { first: u32, width: u32, count: u32, channels: u32, epsilon: f32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> gamma: array<T>;
@group(0) @binding(2) var<storage, read> beta: array<T>;
@group(0) @binding(3) var<storage, read> mean: array<T>;
@group(0) @binding(4) var<storage, read> variance: array<T>;
@group(0) @binding(5) var<storage, read_write> y: array<T>;
@group(0) @binding(6) var<uniform> p: Params;

override WG: u32;
override CLAMP: bool;
override LOW: f32;
override HIGH: f32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i < p.count) {
        let c = i % p.channels;
        var v = (x[i] - mean[c]) / sqrt(variance[c] + T(p.epsilon)) * gamma[c] + beta[c];
        if (CLAMP) {
            // Unlike `clamp`, comparisons leave NaN as it is.
            v = select(v, T(LOW), v < T(LOW));
            v = select(v, T(HIGH), v > T(HIGH));
        }
        y[i] = v;
    }
}
