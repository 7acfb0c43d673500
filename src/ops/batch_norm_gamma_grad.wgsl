@group(0) @binding(0) var<storage, read> dy: array<T>;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read> mean: array<T>;
@group(0) @binding(3) var<storage, read> variance: array<T>;
@group(0) @binding(4) var<storage, read_write> y: array<T>;
@group(0) @binding(5) var<uniform> p: Params;

fn term(i: u32, column: u32) -> T {
    return dy[i] * (x[i] - mean[column]);
}

fn factor(column: u32) -> T {
    return T(1.0) / sqrt(variance[column] + T(p.epsilon));
}
