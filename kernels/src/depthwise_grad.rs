//! Gradients of [`super::depthwise`].

use super::conv2d::ConvShape;
use super::depthwise::{depthwise_taps, widen};
use super::gemm::Epilogue;
use super::scratch::Scratch;
use super::simd::{F32x4, LANES, quad};
use super::taps::{PackedTaps, pack_taps};

/// Output pixels that [`depthwise_dw`] walks over for one quad of channels before it turns to the next: what they touch
/// shares the first-level cache, and neighbouring quads lie in the same cache lines.
const BAND: usize = 64;

/// Gradient by the input.
pub fn depthwise_dx(s: &ConvShape, dy: &[f32], w: &[f32], dx: &mut [f32], scratch: &mut Scratch) {
    let Some(adjoint) = s.adjoint() else { return scatter(s, dy, w, dx) };
    let mut flipped = scratch.take_zeroed(PackedTaps::floats(s.kh * s.kw, s.c));
    pack_taps(w.chunks_exact(s.c).rev(), &mut flipped);
    depthwise_taps(&adjoint, dy, &flipped, dx, Epilogue::default(), scratch);
    scratch.give(flipped);
}

/// [`depthwise_dx`] for any stride: `dy` times each tap is added where the tap was read.
fn scatter(s: &ConvShape, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    dx.fill(0.0);
    for (i, oy) in (0..s.n).flat_map(|i| (0..s.oh).map(move |oy| (i, oy))) {
        for ox in 0..s.ow {
            let dy = &dy[((i * s.oh + oy) * s.ow + ox) * s.c..][..s.c];
            let rows = (0..s.kh).filter_map(|ky| Some((ky, s.input_row(oy, ky)?)));
            for (ky, iy) in rows {
                let columns = (0..s.kw).filter_map(|kx| Some((kx, s.input_column(ox, kx)?)));
                for (kx, ix) in columns {
                    let dx = &mut dx[((i * s.h + iy) * s.w + ix) * s.c..][..s.c];
                    let w = &w[(ky * s.kw + kx) * s.c..][..s.c];
                    for ((dx, dy), w) in dx.iter_mut().zip(dy).zip(w) {
                        *dx += dy * w;
                    }
                }
            }
        }
    }
}

/// Gradient by the weights, `[kh, kw, c]`, summed over the batch in order.
pub fn depthwise_dw(s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32], scratch: &mut Scratch) {
    debug_assert!(s.groups == s.c && s.m == s.c && dw.len() == s.kh * s.kw * s.c);
    debug_assert!(x.len() == s.n * s.x_len() && dy.len() == s.n * s.y_len());
    let wide = s.c.next_multiple_of(LANES);
    let [top, left, bottom, right] = s.padding;
    let line = (s.w + left + right) * (wide / LANES);
    let is_whole = wide == s.c;
    // What lies beside the copied pixels stays zero.
    let copied = if is_whole && s.padding == [0; 4] { 0 } else { (s.h + top + bottom) * line * LANES };
    let mut image = scratch.take_zeroed(copied);
    let mut gradient = scratch.take_zeroed(if is_whole { 0 } else { s.oh * s.ow * wide });
    let mut sums = scratch.take_zeroed(s.kh * s.kw * wide);
    let job = Job { s, quads: wide / LANES, line };
    for i in 0..s.n {
        let (x, dy) = (&x[i * s.x_len()..][..s.x_len()], &dy[i * s.y_len()..][..s.y_len()]);
        if copied > 0 {
            let lines = image.chunks_exact_mut(line * LANES).skip(top).zip(x.chunks_exact(s.w * s.c));
            for (copy, x) in lines {
                widen_line(s.c, x, &mut copy[left * wide..][..s.w * wide]);
            }
        }
        let x = if copied > 0 { &image } else { x };
        let dy = if is_whole { dy } else { widen(s.c, dy, &mut gradient) };
        job.image(x.as_chunks().0, dy.as_chunks().0, sums.as_chunks_mut().0);
    }
    for (dw, sums) in dw.chunks_exact_mut(s.c).zip(sums.chunks_exact(wide)) {
        dw.copy_from_slice(&sums[..s.c]);
    }
    scratch.give(sums);
    scratch.give(gradient);
    scratch.give(image);
}

/// [`widen`], as one copy where there is nothing to widen.
fn widen_line(c: usize, x: &[f32], wide: &mut [f32]) {
    if wide.len() == x.len() {
        wide.copy_from_slice(x);
    } else {
        widen(c, x, wide);
    }
}

/// What all images share.
struct Job<'a> {
    s: &'a ConvShape,
    /// Quads of channels in a pixel.
    quads: usize,
    /// Quads in a line of the padded image.
    line: usize,
}

impl Job<'_> {
    /// Adds what a padded image gives to the sums, some output lines at a time.
    fn image(&self, x: &[[f32; LANES]], dy: &[[f32; LANES]], sums: &mut [[f32; LANES]]) {
        let s = self.s;
        let lines = (BAND / s.ow.max(1)).clamp(1, s.oh.max(1));
        for first in (0..s.oh).step_by(lines) {
            let band = first..s.oh.min(first + lines);
            match (s.kh, s.kw) {
                (3, 3) => self.taps::<3, 3>(0, 0, &band, x, dy, sums),
                (_, 3) => (0..s.kh).for_each(|ky| self.taps::<1, 3>(ky, 0, &band, x, dy, sums)),
                (_, 5) => (0..s.kh).for_each(|ky| self.taps::<1, 5>(ky, 0, &band, x, dy, sums)),
                _ => (0..s.kh * s.kw).for_each(|t| self.taps::<1, 1>(t / s.kw, t % s.kw, &band, x, dy, sums)),
            }
        }
    }

    /// The `KH×KW` taps from (ky, kx) on, over the output lines of a band.
    #[inline(never)]
    fn taps<const KH: usize, const KW: usize>(
        &self,
        ky: usize,
        kx: usize,
        band: &core::ops::Range<usize>,
        x: &[[f32; LANES]],
        dy: &[[f32; LANES]],
        sums: &mut [[f32; LANES]],
    ) {
        let (s, quads) = (self.s, self.quads);
        let (down, along) = (s.dilation[0] * self.line, s.dilation[1] * quads);
        let (next_line, next) = (s.stride[0] * self.line, s.stride[1] * quads);
        let start = ky * down + kx * along;
        if band.is_empty() || s.ow == 0 {
            return;
        }
        let furthest = start + (KH - 1) * down + (KW - 1) * along + (band.end - 1) * next_line + (s.ow - 1) * next;
        assert!(furthest + quads <= x.len() && band.end * s.ow * quads <= dy.len());
        for q in 0..quads {
            let sum = |t: usize| ((ky + t / KW) * s.kw + kx + t % KW) * quads + q;
            let mut acc = [[F32x4::splat(0.0); KW]; KH];
            for t in 0..KH * KW {
                acc[t / KW][t % KW] = F32x4::load(&sums[sum(t)]);
            }
            for oy in band.clone() {
                for ox in 0..s.ow {
                    // Safety: the index is below `band.end · ow · quads`.
                    let dy = unsafe { quad(dy, (oy * s.ow + ox) * quads + q) };
                    let at = start + oy * next_line + ox * next + q;
                    for (ky, acc) in acc.iter_mut().enumerate() {
                        for (kx, acc) in acc.iter_mut().enumerate() {
                            // Safety: the index is at most `furthest + q`.
                            let x = unsafe { quad(x, at + ky * down + kx * along) };
                            *acc = x.mul_add(dy, *acc);
                        }
                    }
                }
            }
            for t in 0..KH * KW {
                acc[t / KW][t % KW].store(&mut sums[sum(t)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close, conv_shape, convolution_gradients};
    use super::*;

    /// Rounding per product of values around 1.
    const TOLERANCE: f64 = 2e-6;

    fn check(rng: &mut Rng, s: &ConvShape) {
        let mut scratch = Scratch::default();
        let (x, w) = (rng.fill(s.n * s.x_len()), rng.fill(s.kh * s.kw * s.c));
        let dy = rng.fill(s.n * s.y_len());
        let (expected_dx, expected_dw) = convolution_gradients(s, &x, &w, &dy);
        let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; w.len()]);
        depthwise_dx(s, &dy, &w, &mut dx, &mut scratch);
        assert_close(&dx, &expected_dx, TOLERANCE * (s.kh * s.kw) as f64, &format!("dx, {s:?}"));
        depthwise_dw(s, &x, &dy, &mut dw, &mut scratch);
        assert_close(&dw, &expected_dw, TOLERANCE * (s.n * s.oh * s.ow) as f64, &format!("dw, {s:?}"));
    }

    #[test]
    fn random_gradients_agree_with_f64() {
        let mut rng = Rng::new(42);
        for _ in 0..300 {
            let s = conv_shape(&mut rng, true);
            check(&mut rng, &s);
        }
    }

    #[test]
    fn padding_beyond_the_kernel_is_no_adjoint() {
        let s = ConvShape {
            n: 2,
            h: 4,
            w: 5,
            c: 6,
            kh: 3,
            kw: 3,
            m: 6,
            oh: 9,
            ow: 5,
            stride: [1, 1],
            padding: [3, 1, 4, 1],
            dilation: [1, 1],
            groups: 6,
        };
        assert_eq!(s.adjoint(), None);
        check(&mut Rng::new(43), &s);
    }
}
