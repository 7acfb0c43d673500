//! Depthwise convolution, NHWC: a [`ConvShape`] whose groups, input and output channels are equal.

#![expect(
    clippy::needless_range_loop,
    reason = "ranges of constants are unrolled, iterators over arrays not always, and then sums leave their registers"
)]

use core::ops::Range;

use super::conv2d::ConvShape;
use super::elementwise::clamped;
use super::gemm::Epilogue;
use super::parallel::{Items, split, with_scratch};
use super::scratch::Scratch;
use super::simd::{F32x4, LANES, quad, unrolled};

/// `y = clamp(conv(x, w) + bias + residual)` with `w` of `[kh, kw, c]`.
///
/// Works down strips of up to seven output columns. A strip whose taps all lie between the left and the right edge
/// reads x itself; any other is copied with its zeros, as are channels that are no multiple of four.
pub fn depthwise(s: &ConvShape, x: &[f32], w: &[f32], y: &mut [f32], e: Epilogue<'_>, scratch: &mut Scratch) {
    debug_assert!(s.groups == s.c && s.m == s.c && w.len() == s.kh * s.kw * s.c);
    debug_assert!(x.len() == s.n * s.x_len() && y.len() == s.n * s.y_len());
    let quads = s.c.div_ceil(LANES);
    let mut bias = scratch.take_zeroed(quads * LANES);
    if let Some(b) = e.bias {
        bias[..s.c].copy_from_slice(b);
    }
    let mut weights = scratch.take_zeroed(if s.c.is_multiple_of(LANES) { 0 } else { s.kh * s.kw * quads * LANES });
    let w = if weights.is_empty() { w } else { widen(s.c, w, &mut weights) };
    // With a residual the bounds apply after a second pass.
    let clamp = e.clamp.filter(|_| e.residual.is_none());
    let job = Job {
        s,
        quads,
        w: w.as_chunks().0,
        bias: bias.as_chunks().0,
        clamp: clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY)),
    };
    for i in 0..s.n {
        let (x, y) = (&x[i * s.x_len()..][..s.x_len()], &mut y[i * s.y_len()..][..s.y_len()]);
        split(s.oh, s.kh * s.kw * s.ow * s.c, Items(y, s.ow * s.c), |lines, Items(y, _)| {
            with_scratch(|scratch| match s.ow {
                0 => {}
                1 | 2 => job.strips::<1>(x, lines, y, scratch),
                3..7 => job.strips::<3>(x, lines, y, scratch),
                _ => job.strips::<7>(x, lines, y, scratch),
            });
        });
    }
    scratch.give(weights);
    scratch.give(bias);
    if let Some(residual) = e.residual {
        let (lo, hi) = e.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        for (y, r) in y.iter_mut().zip(residual) {
            *y = clamped(*y + r, lo, hi);
        }
    }
}

/// Rows of `c` floats to rows of whole quads; what lies behind the `c` keeps its zeros.
pub(super) fn widen<'a>(c: usize, x: &[f32], wide: &'a mut [f32]) -> &'a [f32] {
    for (y, x) in wide.chunks_exact_mut(c.next_multiple_of(LANES)).zip(x.chunks_exact(c)) {
        y[..c].copy_from_slice(x);
    }
    wide
}

/// What all strips share.
struct Job<'a> {
    s: &'a ConvShape,
    /// Quads of channels in a pixel.
    quads: usize,
    w: &'a [[f32; LANES]],
    bias: &'a [[f32; LANES]],
    clamp: (f32, f32),
}

/// The taps of one output row that lie inside the input.
struct Taps<'a> {
    /// From the first pixel under the first tap on.
    x: &'a [[f32; LANES]],
    /// Quads between the lines under two rows of taps.
    step: usize,
    rows: usize,
    w: &'a [[f32; LANES]],
}

impl Job<'_> {
    /// Output lines `lines` in strips of `T` columns; the last one is moved back to end with the line.
    fn strips<const T: usize>(&self, x: &[f32], lines: Range<usize>, y: &mut [f32], scratch: &mut Scratch) {
        let s = self.s;
        let bottom = lines.end.saturating_sub(1) * s.stride[0] + (s.kh - 1) * s.dilation[0] + 1;
        let under =
            (lines.start * s.stride[0]).saturating_sub(s.padding[0])..bottom.saturating_sub(s.padding[0]).min(s.h);
        let span = (T - 1) * s.stride[1] + (s.kw - 1) * s.dilation[1] + 1;
        let mut copy = scratch.take(s.h * span * self.quads * LANES);
        for strip in 0..s.ow.div_ceil(T) {
            let ox = (strip * T).min(s.ow - T);
            let first = ox * s.stride[1];
            let inside = first >= s.padding[1] && first + span <= s.padding[1] + s.w;
            let (x, pitch) = if inside && s.c.is_multiple_of(LANES) {
                (&x[(first - s.padding[1]) * s.c..], s.w * self.quads)
            } else {
                self.copy_strip(x, under.clone(), first, span, &mut copy);
                (copy.as_slice(), span * self.quads)
            };
            for oy in lines.clone() {
                let y = &mut y[((oy - lines.start) * s.ow + ox) * s.c..];
                self.row::<T>(self.taps(x.as_chunks().0, pitch, oy), y);
            }
        }
        scratch.give(copy);
    }

    /// Copies columns `first..first + span` of the padded image, of its lines `lines` without the padding.
    fn copy_strip(&self, x: &[f32], lines: Range<usize>, first: usize, span: usize, copy: &mut [f32]) {
        let s = self.s;
        let wide = self.quads * LANES;
        let left = s.padding[1].saturating_sub(first).min(span);
        let start = (first + left).saturating_sub(s.padding[1]).min(s.w);
        let columns = (span - left).min(s.w - start);
        let all = copy.chunks_exact_mut(span * wide).zip(x.chunks_exact(s.w * s.c));
        for (line, x) in all.take(lines.end).skip(lines.start) {
            let x = &x[start * s.c..][..columns * s.c];
            line[..left * wide].fill(0.0);
            line[(left + columns) * wide..].fill(0.0);
            let line = &mut line[left * wide..][..columns * wide];
            if wide == s.c {
                line.copy_from_slice(x);
            } else {
                line.fill(0.0);
                widen(s.c, x, line);
            }
        }
    }

    /// The taps of output row `oy` in lines `pitch` quads apart.
    fn taps<'a>(&'a self, x: &'a [[f32; LANES]], pitch: usize, oy: usize) -> Taps<'a> {
        let s = self.s;
        let (top, d, first) = (s.padding[0], s.dilation[0], oy * s.stride[0]);
        let skipped = top.saturating_sub(first).div_ceil(d).min(s.kh);
        let end = (top + s.h).saturating_sub(first).div_ceil(d).clamp(skipped, s.kh);
        let line = (first + skipped * d).saturating_sub(top).min(s.h);
        Taps {
            x: &x[(line * pitch).min(x.len())..],
            step: d * pitch,
            rows: end - skipped,
            w: &self.w[skipped * s.kw * self.quads..end * s.kw * self.quads],
        }
    }

    /// `T` outputs of one row. Kernels of 3 and 5 columns at stride 1 and 2 have their loops unrolled.
    fn row<const T: usize>(&self, taps: Taps<'_>, y: &mut [f32]) {
        match (self.s.kw, self.s.stride[1], self.s.dilation[1]) {
            (3, 1, 1) => self.unrolled::<3, 1, T>(taps, y),
            (3, 2, 1) => self.unrolled::<3, 2, T>(taps, y),
            (5, 1, 1) => self.unrolled::<5, 1, T>(taps, y),
            (5, 2, 1) => self.unrolled::<5, 2, T>(taps, y),
            _ => self.any::<T>(taps, y),
        }
    }

    #[inline(never)]
    fn unrolled<const KW: usize, const S: usize, const T: usize>(&self, taps: Taps<'_>, y: &mut [f32]) {
        let quads = self.quads;
        let end = match taps.rows {
            0 => 0,
            rows => (rows - 1) * taps.step + ((T - 1) * S + KW) * quads,
        };
        assert!(end <= taps.x.len() && taps.rows * KW * quads <= taps.w.len());
        for q in 0..quads {
            let mut acc = [F32x4::load(&self.bias[q]); T];
            for ky in 0..taps.rows {
                // Safety: the index is below `rows · KW · quads`.
                let w: [F32x4; KW] = unrolled(F32x4::ZERO, |kx| unsafe { quad(taps.w, (ky * KW + kx) * quads + q) });
                let line = ky * taps.step + q;
                for (t, acc) in acc.iter_mut().enumerate() {
                    for (kx, w) in w.iter().enumerate() {
                        // Safety: the index is below `end`, which it reaches in the last row, column and quad.
                        let x = unsafe { quad(taps.x, line + (t * S + kx) * quads) };
                        *acc = x.mul_add(*w, *acc);
                    }
                }
            }
            self.store(acc, q, y);
        }
    }

    #[inline(never)]
    fn any<const T: usize>(&self, taps: Taps<'_>, y: &mut [f32]) {
        let quads = self.quads;
        let (kw, stride, dilation) = (self.s.kw, self.s.stride[1], self.s.dilation[1]);
        for q in 0..quads {
            let mut acc = [F32x4::load(&self.bias[q]); T];
            for ky in 0..taps.rows {
                for kx in 0..kw {
                    let w = F32x4::load(&taps.w[(ky * kw + kx) * quads + q]);
                    let x = &taps.x[ky * taps.step + kx * dilation * quads..];
                    for (t, acc) in acc.iter_mut().enumerate() {
                        *acc = F32x4::load(&x[t * stride * quads + q]).mul_add(w, *acc);
                    }
                }
            }
            self.store(acc, q, y);
        }
    }

    /// Stores quad `q` of neighbouring outputs.
    #[inline(always)]
    fn store<const T: usize>(&self, mut acc: [F32x4; T], q: usize, y: &mut [f32]) {
        let (lo, hi) = (F32x4::splat(self.clamp.0), F32x4::splat(self.clamp.1));
        for t in 0..T {
            acc[t] = acc[t].at_least(lo).at_most(hi);
        }
        let (c, channel) = (self.s.c, q * LANES);
        if channel + LANES <= c {
            assert!(T * c <= y.len());
            for t in 0..T {
                // Safety: `t · c + channel + LANES` is at most `T · c`.
                acc[t].store(unsafe { &mut *y.as_mut_ptr().add(t * c + channel).cast() });
            }
        } else {
            for (t, acc) in acc.iter().enumerate() {
                let mut lanes = [0.0; LANES];
                acc.store(&mut lanes);
                y[t * c + channel..(t + 1) * c].copy_from_slice(&lanes[..c - channel]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close, conv_shape, convolution};
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
            let e = Epilogue { bias: Some(&bias), residual: Some(&residual), clamp: Some((-1.0, 1.5)) };
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
                depthwise(&alone, x, &w, &mut image, Epilogue { residual, ..e }, &mut scratch);
                assert_eq!(image, y[i * s.y_len()..][..s.y_len()], "image {i} alone, {s:?}");
            }
        }
    }
}
