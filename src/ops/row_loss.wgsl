// The loss of a row, or its gradient. KIND is the position in RowLossKind; `weight(column)` is appended.
struct Params { first: u32, width: u32, rows: u32, along: u32, share: f32 }

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read> dloss: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

override KIND: u32;
override GRADIENT: bool;

const COSINE = 9u;
const SMALL: f32 = 1e-7;
const BELOW_1: f32 = 1.0 - 1e-7;

// Unlike `clamp`, comparisons leave NaN as it is.
fn clipped(x: f32, high: f32) -> f32 {
    let raised = select(x, SMALL, x < SMALL);
    return select(raised, high, raised > high);
}

fn side(t: f32) -> f32 {
    return select(-1.0, 1.0, t > 0.5);
}

fn positive(x: f32) -> f32 {
    return select(x, 0.0, x < 0.0);
}

fn value(y: f32, t: f32) -> f32 {
    switch KIND {
        case 0u: { return -t * log(clipped(y, BELOW_1)); }
        case 1u: {
            let q = clipped(y, BELOW_1);
            return -t * log(q) - (1.0 - t) * log(1.0 - q);
        }
        case 2u: { return positive(y) - y * t + log(1.0 + exp(-abs(y))); }
        case 3u: { return (y - t) * (y - t); }
        case 4u: { return abs(y - t); }
        case 5u: { return positive(1.0 - side(t) * y); }
        case 6u: {
            let h = positive(1.0 - side(t) * y);
            return h * h;
        }
        case 7u: {
            let s = clipped(t, 1.0);
            return s * log(s / clipped(y, 1.0));
        }
        case 8u: { return y - t * log(y + SMALL); }
        default: { return y * t; }
    }
}

// The derivative of `value` in y; 0 where y is clipped.
fn slope(y: f32, t: f32) -> f32 {
    switch KIND {
        case 0u: { return select(-t / y, 0.0, y < SMALL || y > BELOW_1); }
        case 1u: { return select((y - t) / (y * (1.0 - y)), 0.0, y < SMALL || y > BELOW_1); }
        case 2u: {
            let e = exp(-abs(y));
            return select(e, 1.0, y >= 0.0) / (1.0 + e) - t;
        }
        case 3u: { return 2.0 * (y - t); }
        case 4u: { return sign(y - t); }
        case 5u: { return select(-side(t), 0.0, side(t) * y >= 1.0); }
        case 6u: { return -2.0 * side(t) * positive(1.0 - side(t) * y); }
        case 7u: { return select(-clipped(t, 1.0) / y, 0.0, y < SMALL || y > 1.0); }
        case 8u: { return 1.0 - t / (y + SMALL); }
        default: { return 0.0; }
    }
}

fn work(row: u32, lid: u32) {
    let start = row * p.along;
    var sum = 0.0;
    var squares = vec2<f32>();
    for (var j = lid; j < p.along; j += WG) {
        let both = vec2<f32>(y[start + j], t[start + j]);
        sum += weight(j) * value(both.x, both.y);
        squares += both * both;
    }
    sum = total(lid, sum);
    // The factor of Σ y·t, and the square of the norm of y; the cosine alone has them.
    var scale = 0.0;
    var square = 1.0;
    if (KIND == COSINE) {
        square = max(total(lid, squares.x), 1e-12);
        scale = inverseSqrt(square * max(total(lid, squares.y), 1e-12));
    }
    if (!GRADIENT) {
        if (lid == 0u) {
            result[row] = select(sum * p.share, -sum * scale, KIND == COSINE);
        }
        return;
    }
    for (var j = lid; j < p.along; j += WG) {
        let yj = y[start + j];
        let tj = t[start + j];
        var d = weight(j) * slope(yj, tj) * p.share;
        if (KIND == COSINE) {
            d = scale * (sum * yj / square - weight(j) * tj);
        }
        result[start + j] = dloss[row] * d;
    }
}
