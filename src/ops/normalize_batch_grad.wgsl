// The gradient through the statistics of the batch too. A channel is an element, or four where T is a vector.
struct Params { first: u32, width: u32, count: u32, channels: u32, epsilon: f32, share: f32 }

@group(0) @binding(0) var<storage, read> dy: array<T>;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read> gamma: array<T>;
@group(0) @binding(3) var<storage, read> mean: array<T>;
@group(0) @binding(4) var<storage, read> variance: array<T>;
@group(0) @binding(5) var<storage, read> dgamma: array<T>;
@group(0) @binding(6) var<storage, read> dbeta: array<T>;
@group(0) @binding(7) var<storage, read_write> dx: array<T>;
@group(0) @binding(8) var<uniform> p: Params;

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i < p.count) {
        let c = i % p.channels;
        let r = T(1.0) / sqrt(variance[c] + T(p.epsilon));
        dx[i] = gamma[c] * r * (dy[i] - p.share * (dbeta[c] + (x[i] - mean[c]) * r * dgamma[c]));
    }
}
