@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
@group(0) @binding(2) var<uniform> p: Params;

fn term(i: u32, column: u32) -> T {
    return x[i];
}

fn factor(column: u32) -> T {
    return T(1.0);
}
