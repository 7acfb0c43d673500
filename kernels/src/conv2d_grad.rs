//! Gradients of [`super::conv2d`].

use super::conv2d::{ConvShape, padded, padded_buffer};
use super::gemm::{Epilogue, PackedB, multiply_rows};
use super::lhs::{Columns, Walk};
use super::scratch::Scratch;
use super::tile::{Block, Out, multiply};

/// Floats of `dy · wᵀ` held at a time in [`conv2d_dx`].
const DX_CHUNK: usize = 64 << 10;

/// Most pixels that [`conv2d_dw`] sums over in one pass: six gathered rows of xᵀ and a panel of dy then share a first-level
/// cache of 32 KiB.
const LONGEST: usize = 448;

/// Size of the parts, at most `most` and at least 1, that `total` is split into: as few and as even as can be.
fn even(total: usize, most: usize) -> usize {
    total.div_ceil(total.div_ceil(most.max(1)).max(1)).max(1)
}

impl ConvShape {
    /// The convolution of dy with flipped filters that is the gradient by the input. There is none for strides, nor where
    /// the padding is wider than the kernel reaches.
    pub(super) fn adjoint(&self) -> Option<Self> {
        let reach = [0, 1].map(|axis| ([self.kh, self.kw][axis] - 1) * self.dilation[axis]);
        let mut padding = [0; 4];
        for (side, padding) in padding.iter_mut().enumerate() {
            *padding = reach[side % 2].checked_sub(self.padding[side])?;
        }
        let (h, w, oh, ow) = (self.oh, self.ow, self.h, self.w);
        let adjoint = Self { h, w, c: self.m, m: self.c, oh, ow, padding, ..self.clone() };
        (self.stride == [1, 1]).then_some(adjoint)
    }
}

/// Gradient by the input: `dy · wᵀ` for some output rows at a time, added where the taps were read.
///
/// `w` is `[kh, kw, c/groups, m]`.
pub fn conv2d_dx(s: &ConvShape, dy: &[f32], w: &[f32], dx: &mut [f32], scratch: &mut Scratch) {
    debug_assert!(dx.len() == s.n * s.x_len() && dy.len() == s.n * s.y_len());
    let (cg, mg) = (s.c / s.groups, s.m / s.groups);
    let taps = s.kh * s.kw * cg;
    let mut b = PackedB::borrow(scratch, mg, taps);
    let lines = (DX_CHUNK / (s.ow * taps).max(1)).clamp(1, s.oh.max(1));
    let mut products = scratch.take(if s.is_pointwise() { 0 } else { lines * s.ow * taps });
    if !s.is_pointwise() {
        dx.fill(0.0);
    }
    for g in 0..s.groups {
        b.repack_transposed_strided(mg, taps, &w[g * mg..], s.m);
        if s.is_pointwise() {
            let mut out = Out { y: &mut *dx, ld: s.c, col: g * cg };
            let pixels = s.n * s.h * s.w;
            multiply_rows(pixels, &dy[(g * mg).min(dy.len())..], s.m, &b, Epilogue::default(), &mut out);
            continue;
        }
        for i in 0..s.n {
            let (dy, dx) = (&dy[i * s.y_len()..][..s.y_len()], &mut dx[i * s.x_len()..][..s.x_len()]);
            for oy in (0..s.oh).step_by(lines) {
                let rows = oy..s.oh.min(oy + lines);
                let mut out = Out { y: &mut products, ld: taps, col: 0 };
                let dy = &dy[oy * s.ow * s.m + g * mg..];
                multiply_rows(rows.len() * s.ow, dy, s.m, &b, Epilogue::default(), &mut out);
                scatter(s, g, rows, &products, dx);
            }
        }
    }
    scratch.give(products);
    b.release(scratch);
}

/// Adds the products of output rows `rows`, `[pixel, kh, kw, c/groups]`, to the input pixels they belong to.
fn scatter(s: &ConvShape, g: usize, rows: core::ops::Range<usize>, products: &[f32], dx: &mut [f32]) {
    let cg = s.c / s.groups;
    let pixels = rows.flat_map(|oy| (0..s.ow).map(move |ox| (oy, ox)));
    for ((oy, ox), taps) in pixels.zip(products.chunks_exact((s.kh * s.kw * cg).max(1))) {
        for (ky, taps) in taps.chunks_exact(s.kw * cg).enumerate() {
            let Some(iy) = s.input_row(oy, ky) else {
                continue;
            };
            for (kx, tap) in taps.chunks_exact(cg).enumerate() {
                let Some(ix) = s.input_column(ox, kx) else {
                    continue;
                };
                let dx = &mut dx[(iy * s.w + ix) * s.c + g * cg..][..cg];
                for (dx, t) in dx.iter_mut().zip(tap) {
                    *dx += t;
                }
            }
        }
    }
}

/// Gradient by the weights, `[kh, kw, c/groups, m]`, summed over the batch in order: `xᵀ · dy` under each tap.
pub fn conv2d_dw(s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32], scratch: &mut Scratch) {
    debug_assert!(x.len() == s.n * s.x_len() && dy.len() == s.n * s.y_len());
    if s.n == 0 {
        return dw.fill(0.0);
    }
    let pixels = s.oh * s.ow;
    // Several small images at a time, or some lines of a large one.
    let images = even(s.n, LONGEST / pixels.max(1));
    let lines = even(s.oh, LONGEST / s.ow.max(1));
    let mut copies = padded_buffer(s, images, scratch);
    let mut rows = scratch.take(Columns::buffer_len(images * lines * s.ow));
    let mut b = PackedB::borrow(scratch, images * pixels, s.m / s.groups);
    for first in (0..s.n).step_by(images) {
        let images = images.min(s.n - first);
        let x = padded(s, &x[first * s.x_len()..][..images * s.x_len()], &mut copies);
        let dy = &dy[first * s.y_len()..][..images * s.y_len()];
        for g in 0..s.groups {
            // In one block, of which each part of the lines is some rows.
            b.repack_strided(images * pixels, s.m / s.groups, &dy[g * (s.m / s.groups)..], s.m, 1);
            for oy in (0..s.oh).step_by(lines) {
                let lines = lines.min(s.oh - oy);
                let rows_of_dy = oy * s.ow..oy * s.ow + images * lines * s.ow;
                let panels = b.block(0..images * pixels).of(rows_of_dy);
                let block = Block { b: panels, resume: first + oy > 0, e: Epilogue::default() };
                dw_lines(s, g, oy, lines, images, x, block, dw, &mut rows);
            }
        }
    }
    b.release(scratch);
    scratch.give(rows);
    scratch.give(copies);
}

/// What output lines `oy..oy + lines` of some padded images give to the weights of group `g`.
#[expect(clippy::too_many_arguments, reason = "the innermost part of one loop nest")]
fn dw_lines(
    s: &ConvShape,
    g: usize,
    oy: usize,
    lines: usize,
    images: usize,
    x: &[f32],
    block: Block<'_>,
    dw: &mut [f32],
    buffer: &mut [f32],
) {
    let (taps, len) = s.taps();
    let walk =
        Walk { outer: lines, outer_step: s.stride[0] * s.padded_line(), inner: s.ow, inner_step: s.stride[1] * s.c };
    for tap in 0..taps.outer * taps.inner {
        let (ky, kx) = (tap / taps.inner, tap % taps.inner);
        let start = g * (s.c / s.groups) + oy * walk.outer_step + ky * taps.outer_step + kx * taps.inner_step;
        let x = &x[start..];
        let mut a = Columns { x, images, image_step: s.padded_len(), walk, buffer };
        let y = &mut dw[tap * len * s.m..][..len * s.m];
        multiply(len, &mut a, block, &mut Out { y, ld: s.m, col: g * (s.m / s.groups) });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close, conv_shape, convolution_gradients};
    use super::*;

    /// Rounding per product of values around 1.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn parts_are_few_and_even() {
        assert_eq!([even(16, 9), even(16, 8), even(7, 3), even(5, 0), even(0, 4)], [8, 8, 3, 1, 1]);
    }

    #[test]
    fn random_gradients_agree_with_f64() {
        let mut rng = Rng::new(31);
        let mut scratch = Scratch::default();
        for _ in 0..150 {
            let s = conv_shape(&mut rng, false);
            let (x, w) = (rng.fill(s.n * s.x_len()), rng.fill(s.kh * s.kw * s.c / s.groups * s.m));
            let dy = rng.fill(s.n * s.y_len());
            let (expected_dx, expected_dw) = convolution_gradients(&s, &x, &w, &dy);
            let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; w.len()]);
            conv2d_dx(&s, &dy, &w, &mut dx, &mut scratch);
            assert_close(&dx, &expected_dx, TOLERANCE * (s.kh * s.kw * s.m) as f64, &format!("dx, {s:?}"));
            conv2d_dw(&s, &x, &dy, &mut dw, &mut scratch);
            assert_close(&dw, &expected_dw, TOLERANCE * (s.n * s.oh * s.ow) as f64, &format!("dw, {s:?}"));
        }
    }
}
