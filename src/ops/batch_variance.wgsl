@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> mean: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;
@group(0) @binding(3) var<uniform> p: Params;

fn term(i: u32, column: u32) -> T {
    let d = x[i] - mean[column];
    return d * d;
}

fn factor(column: u32) -> T {
    return T(1.0);
}
