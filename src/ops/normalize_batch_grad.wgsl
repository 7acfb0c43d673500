// The gradient through the statistics of the batch too.
@group(0) @binding(0) var<storage, read> dy: array<T>;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read> gamma: array<T>;
@group(0) @binding(3) var<storage, read> mean: array<T>;
@group(0) @binding(4) var<storage, read> variance: array<T>;
@group(0) @binding(5) var<storage, read> dgamma: array<T>;
@group(0) @binding(6) var<storage, read> dbeta: array<T>;
@group(0) @binding(7) var<storage, read_write> y: array<T>;
@group(0) @binding(8) var<uniform> p: Params;

struct Channel { mean: T, factor: T, slope: T, shift: T }

fn channel(c: u32) -> Channel {
    let r = T(1.0) / sqrt(variance[c] + T(p.epsilon));
    return Channel(mean[c], gamma[c] * r, p.share * r * dgamma[c], p.share * dbeta[c]);
}

fn value(i: u32, channel: Channel) -> T {
    return channel.factor * (dy[i] - (channel.shift + (x[i] - channel.mean) * channel.slope));
}
