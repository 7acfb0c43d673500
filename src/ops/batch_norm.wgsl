// Normalises with given statistics, and clamps.
@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> gamma: array<T>;
@group(0) @binding(2) var<storage, read> beta: array<T>;
@group(0) @binding(3) var<storage, read> mean: array<T>;
@group(0) @binding(4) var<storage, read> variance: array<T>;
@group(0) @binding(5) var<storage, read_write> y: array<T>;
@group(0) @binding(6) var<uniform> p: Params;

override CLAMP: bool;
override LOW: f32;
override HIGH: f32;

struct Channel { mean: T, factor: T, beta: T }

fn channel(c: u32) -> Channel {
    return Channel(mean[c], gamma[c] / sqrt(variance[c] + T(p.epsilon)), beta[c]);
}

fn value(i: u32, channel: Channel) -> T {
    var v = (x[i] - channel.mean) * channel.factor + channel.beta;
    if (CLAMP) {
        // Unlike `clamp`, comparisons leave NaN as it is.
        v = select(v, T(LOW), v < T(LOW));
        v = select(v, T(HIGH), v > T(HIGH));
    }
    return v;
}
