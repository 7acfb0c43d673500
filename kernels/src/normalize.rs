//! Normalisation of rows.

/// Sum of products.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Each row of `cols` divided by its length, or by `epsilon` where that is larger.
pub fn l2_normalize(cols: usize, x: &[f32], y: &mut [f32], epsilon: f32) {
    debug_assert_eq!(x.len(), y.len());
    for (x, y) in x.chunks_exact(cols.max(1)).zip(y.chunks_exact_mut(cols.max(1))) {
        let norm = dot(x, x).sqrt();
        let scale = 1.0 / if norm < epsilon { epsilon } else { norm };
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x * scale);
    }
}

/// Gradient of [`l2_normalize`].
pub fn l2_normalize_dx(cols: usize, x: &[f32], dy: &[f32], dx: &mut [f32], epsilon: f32) {
    debug_assert!(x.len() == dy.len() && x.len() == dx.len());
    let step = cols.max(1);
    for ((x, dy), dx) in x.chunks_exact(step).zip(dy.chunks_exact(step)).zip(dx.chunks_exact_mut(step)) {
        let norm = dot(x, x).sqrt();
        let (scale, along) = if norm > epsilon { (1.0 / norm, dot(x, dy) / norm / norm) } else { (1.0 / epsilon, 0.0) };
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
            *dx = (dy - x * along) * scale;
        }
    }
}

/// Mean and `1 / √(variance + epsilon)` of a row.
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let share = 1.0 / x.len().max(1) as f32;
    let mean = x.iter().sum::<f32>() * share;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() * share;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// Each row of as many elements as `gamma`, brought to mean 0 and variance 1, then `· gamma + beta`.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32], epsilon: f32) {
    debug_assert!(x.len() == y.len() && gamma.len() == beta.len());
    let cols = gamma.len().max(1);
    for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
        let (mean, scale) = moments(x, epsilon);
        for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
            *y = (x - mean) * scale * gamma + beta;
        }
    }
}

/// Gradient of [`layer_norm`] in `x`.
pub fn layer_norm_dx(x: &[f32], gamma: &[f32], dy: &[f32], dx: &mut [f32], epsilon: f32) {
    debug_assert!(x.len() == dy.len() && x.len() == dx.len());
    let cols = gamma.len().max(1);
    let share = 1.0 / cols as f32;
    for ((x, dy), dx) in x.chunks_exact(cols).zip(dy.chunks_exact(cols)).zip(dx.chunks_exact_mut(cols)) {
        let (mean, scale) = moments(x, epsilon);
        let (mut sum, mut along) = (0.0, 0.0);
        for (((dx, x), gamma), dy) in dx.iter_mut().zip(x).zip(gamma).zip(dy) {
            *dx = gamma * dy;
            sum += *dx;
            along += *dx * (x - mean) * scale;
        }
        for (dx, x) in dx.iter_mut().zip(x) {
            *dx = (*dx - sum * share - (x - mean) * scale * (along * share)) * scale;
        }
    }
}

/// `dx = a·dy + b·(x − mean) + c` with factors a, b and c of each column.
pub fn normalize_batch_dx(dy: &[f32], x: &[f32], mean: &[f32], [a, b, c]: [&[f32]; 3], dx: &mut [f32]) {
    let cols = mean.len().max(1);
    for ((dx, dy), x) in dx.chunks_exact_mut(cols).zip(dy.chunks_exact(cols)).zip(x.chunks_exact(cols)) {
        for (i, ((dx, dy), x)) in dx.iter_mut().zip(dy).zip(x).enumerate() {
            *dx = a[i] * dy + (b[i] * (x - mean[i]) + c[i]);
        }
    }
}
