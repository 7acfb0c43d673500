//! Depthwise convolution and its gradients, NHWC: a [`ConvShape`] whose groups, input and output channels are equal.

use super::conv2d::ConvShape;
use super::gemm::Epilogue;
use super::scratch::Scratch;

/// `y = clamp(conv(x, w) + bias + residual)` with `w` of `[kh, kw, c]`.
pub(crate) fn depthwise(
    s: &ConvShape,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    e: Epilogue<'_>,
    _scratch: &mut Scratch,
) {
    debug_assert!(s.groups == s.c && s.m == s.c && w.len() == s.kh * s.kw * s.c);
    match e.bias {
        Some(bias) => y
            .chunks_exact_mut(s.c)
            .for_each(|y| y.copy_from_slice(bias)),
        None => y.fill(0.0),
    }
    each_tap(s, |x_at, w_at, y_at| {
        let (x, w) = (&x[x_at..][..s.c], &w[w_at..][..s.c]);
        for ((y, x), w) in y[y_at..][..s.c].iter_mut().zip(x).zip(w) {
            *y += x * w;
        }
    });
    if let Some(residual) = e.residual {
        y.iter_mut().zip(residual).for_each(|(y, r)| *y += r);
    }
    if let Some((lo, hi)) = e.clamp {
        y.iter_mut().for_each(|y| *y = y.clamp(lo, hi));
    }
}

/// Gradient by the input.
pub(crate) fn depthwise_dx(
    s: &ConvShape,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
    _scratch: &mut Scratch,
) {
    dx.fill(0.0);
    each_tap(s, |x_at, w_at, y_at| {
        let (dy, w) = (&dy[y_at..][..s.c], &w[w_at..][..s.c]);
        for ((dx, dy), w) in dx[x_at..][..s.c].iter_mut().zip(dy).zip(w) {
            *dx += dy * w;
        }
    });
}

/// Gradient by the weights, `[kh, kw, c]`, summed over the batch in order.
pub(crate) fn depthwise_dw(
    s: &ConvShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    _scratch: &mut Scratch,
) {
    dw.fill(0.0);
    each_tap(s, |x_at, w_at, y_at| {
        let (x, dy) = (&x[x_at..][..s.c], &dy[y_at..][..s.c]);
        for ((dw, x), dy) in dw[w_at..][..s.c].iter_mut().zip(x).zip(dy) {
            *dw += x * dy;
        }
    });
}

/// Calls `f` with the offsets into x, w and y of every tap inside the input.
fn each_tap(s: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    for (i, oy) in (0..s.n).flat_map(|i| (0..s.oh).map(move |oy| (i, oy))) {
        for ox in 0..s.ow {
            for ky in 0..s.kh {
                let Some(iy) = s.input_row(oy, ky) else {
                    continue;
                };
                for kx in 0..s.kw {
                    let Some(ix) = s.input_column(ox, kx) else {
                        continue;
                    };
                    let x = ((i * s.h + iy) * s.w + ix) * s.c;
                    f(
                        x,
                        (ky * s.kw + kx) * s.c,
                        ((i * s.oh + oy) * s.ow + ox) * s.c,
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        Rng, assert_close, conv_shape, convolution, convolution_gradients,
    };
    use super::*;

    /// Rounding per product of values around 1.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn random_shapes_agree_with_f64_and_images_alone() {
        let mut rng = Rng::new(41);
        let mut scratch = Scratch::default();
        for _ in 0..200 {
            let s = conv_shape(&mut rng, true);
            let (x, w) = (rng.fill(s.n * s.x_len()), rng.fill(s.kh * s.kw * s.c));
            let (bias, residual) = (rng.fill(s.c), rng.fill(s.n * s.y_len()));
            let mut expected = convolution(&s, &x, &w);
            let mut y = vec![f32::NAN; s.n * s.y_len()];
            let tolerance = TOLERANCE * (s.kh * s.kw) as f64;
            depthwise(&s, &x, &w, &mut y, Epilogue::default(), &mut scratch);
            assert_close(&y, &expected, tolerance, &format!("{s:?}"));
            let e = Epilogue {
                bias: Some(&bias),
                residual: Some(&residual),
                clamp: Some((-1.0, 1.5)),
            };
            depthwise(&s, &x, &w, &mut y, e, &mut scratch);
            for (i, v) in expected.iter_mut().enumerate() {
                *v = (*v + f64::from(bias[i % s.c]) + f64::from(residual[i])).clamp(-1.0, 1.5);
            }
            assert_close(&y, &expected, tolerance, &format!("{s:?} with epilogue"));
            let alone = ConvShape { n: 1, ..s.clone() };
            for i in 0..s.n {
                let mut image = vec![f32::NAN; s.y_len()];
                let residual = Some(&residual[i * s.y_len()..][..s.y_len()]);
                let x = &x[i * s.x_len()..][..s.x_len()];
                depthwise(
                    &alone,
                    x,
                    &w,
                    &mut image,
                    Epilogue { residual, ..e },
                    &mut scratch,
                );
                assert_eq!(
                    image,
                    y[i * s.y_len()..][..s.y_len()],
                    "image {i} alone, {s:?}"
                );
            }
        }
    }

    #[test]
    fn random_gradients_agree_with_f64() {
        let mut rng = Rng::new(42);
        let mut scratch = Scratch::default();
        for _ in 0..200 {
            let s = conv_shape(&mut rng, true);
            let (x, w) = (rng.fill(s.n * s.x_len()), rng.fill(s.kh * s.kw * s.c));
            let dy = rng.fill(s.n * s.y_len());
            let (expected_dx, expected_dw) = convolution_gradients(&s, &x, &w, &dy);
            let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; w.len()]);
            depthwise_dx(&s, &dy, &w, &mut dx, &mut scratch);
            assert_close(
                &dx,
                &expected_dx,
                TOLERANCE * (s.kh * s.kw) as f64,
                &format!("dx, {s:?}"),
            );
            depthwise_dw(&s, &x, &dy, &mut dw, &mut scratch);
            assert_close(
                &dw,
                &expected_dw,
                TOLERANCE * (s.n * s.oh * s.ow) as f64,
                &format!("dw, {s:?}"),
            );
        }
    }
}
