// `dw` is the statistic of the batch.
@group(0) @binding(2) var<storage, read_write> r: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

fn update(i: u32) {
    r[i] = p.a * r[i] + (1.0 - p.a) * dw[i];
}
