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
use super::simd::{F32x4, LANES, unrolled};
use super::taps::PackedTaps;

/// `y = clamp(conv(x, w) + bias + residual)`.
///
/// Works down strips of up to seven output columns. A strip reads x itself where its zeros at the left and at the right are
/// those of a usual padding, or none; otherwise it is copied with them, as are channels that are no multiple of four.
pub fn depthwise(s: &ConvShape, x: &[f32], w: &PackedTaps, y: &mut [f32], e: Epilogue<'_>, scratch: &mut Scratch) {
    depthwise_taps(s, x, &w.0, y, e, scratch);
}

/// [`depthwise`] with filters of [`super::taps::pack_taps`].
pub(super) fn depthwise_taps(
    s: &ConvShape,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    e: Epilogue<'_>,
    scratch: &mut Scratch,
) {
    debug_assert!(s.groups == s.c && s.m == s.c && w.len() == PackedTaps::floats(s.kh * s.kw, s.c));
    debug_assert!(x.len() == s.n * s.x_len() && y.len() == s.n * s.y_len());
    let quads = s.c.div_ceil(LANES);
    let mut bias = scratch.take_zeroed(quads * LANES);
    if let Some(b) = e.bias {
        bias[..s.c].copy_from_slice(b);
    }
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
                3..WIDE => job.strips::<3>(x, lines, y, scratch),
                _ => job.strips::<WIDE>(x, lines, y, scratch),
            });
        });
    }
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

/// Columns of a wide strip: they divide the widths of images that are halved five times from 224.
const WIDE: usize = 7;

/// Columns under a wide strip, at most, where its kernel is unrolled: 5 taps at stride 2.
const COLUMNS: usize = (WIDE - 1) * 2 + 5;

/// Bytes under a strip's row that stay in the first-level cache from one row to the next.
const BLOCK: usize = 16 << 10;

/// What all strips share.
struct Job<'a> {
    s: &'a ConvShape,
    /// Quads of channels in a pixel.
    quads: usize,
    /// As [`super::taps::pack_taps`] orders them.
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
    /// Rows of taps before them, above the input.
    skipped: usize,
}

/// Some quads of the outputs of one row of a strip.
type Kernel<'j> = fn(&Job<'j>, &Taps<'_>, Range<usize>, &mut [f32]);

impl<'j> Job<'j> {
    /// Output lines `lines` in strips of `T` columns; the last one is moved back to end with the line.
    fn strips<const T: usize>(&self, x: &[f32], lines: Range<usize>, y: &mut [f32], scratch: &mut Scratch) {
        let s = self.s;
        let bottom = lines.end.saturating_sub(1) * s.stride[0] + (s.kh - 1) * s.dilation[0] + 1;
        let under =
            (lines.start * s.stride[0]).saturating_sub(s.padding[0])..bottom.saturating_sub(s.padding[0]).min(s.h);
        let span = (T - 1) * s.stride[1] + (s.kw - 1) * s.dilation[1] + 1;
        let mut copy = scratch.take(s.h * span * self.quads * LANES);
        let block = (BLOCK / (s.kh * span * LANES * size_of::<f32>())).max(1).next_multiple_of(LANES);
        for strip in 0..s.ow.div_ceil(T) {
            let ox = (strip * T).min(s.ow - T);
            let first = ox * s.stride[1];
            let left = s.padding[1].saturating_sub(first);
            let right = (first + span).saturating_sub(s.padding[1] + s.w);
            let edge = self.kernel::<T>(left, right).filter(|_| s.c.is_multiple_of(LANES));
            let (x, pitch, kernel) = if let Some(kernel) = edge {
                (&x[(first + left - s.padding[1]) * s.c..], s.w * self.quads, kernel)
            } else {
                self.copy_strip(x, under.clone(), first, span, &mut copy);
                (copy.as_slice(), span * self.quads, self.kernel::<T>(0, 0).unwrap_or(Self::any::<T>))
            };
            let x = x.as_chunks().0;
            for q in (0..s.c / LANES).step_by(block) {
                for oy in lines.clone() {
                    let y = &mut y[((oy - lines.start) * s.ow + ox) * s.c..];
                    kernel(self, &self.taps(x, pitch, oy), q..(q + block).min(s.c / LANES), y);
                }
            }
            if s.c / LANES < self.quads {
                for oy in lines.clone() {
                    let y = &mut y[((oy - lines.start) * s.ow + ox) * s.c..];
                    self.any::<T>(&self.taps(x, pitch, oy), s.c / LANES..self.quads, y);
                }
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
    fn taps<'a>(&self, x: &'a [[f32; LANES]], pitch: usize, oy: usize) -> Taps<'a> {
        let s = self.s;
        let (top, d, first) = (s.padding[0], s.dilation[0], oy * s.stride[0]);
        let skipped = top.saturating_sub(first).div_ceil(d).min(s.kh);
        let end = (top + s.h).saturating_sub(first).div_ceil(d).clamp(skipped, s.kh);
        let line = (first + skipped * d).saturating_sub(top).min(s.h);
        Taps { x: &x[(line * pitch).min(x.len())..], step: d * pitch, rows: end - skipped, skipped }
    }

    /// What makes `T` outputs of a row where `left` and `right` columns under the strip lie outside the image, if there is
    /// something. Kernels of 3 and 5 columns at stride 1 and 2 have their loops unrolled, with the usual paddings of wide strips.
    fn kernel<const T: usize>(&self, left: usize, right: usize) -> Option<Kernel<'j>> {
        let kernel: Kernel<'j> = match (self.s.kw, self.s.stride[1], self.s.dilation[1], left, right) {
            (3, 1, 1, 0, 0) => Self::unrolled::<3, 1, T, 0, 0>,
            (3, 2, 1, 0, 0) => Self::unrolled::<3, 2, T, 0, 0>,
            (5, 1, 1, 0, 0) => Self::unrolled::<5, 1, T, 0, 0>,
            (5, 2, 1, 0, 0) => Self::unrolled::<5, 2, T, 0, 0>,
            (_, _, _, 0, 0) => Self::any::<T>,
            _ if T < WIDE => return None,
            (3, 1, 1, 1, 0) => Self::unrolled::<3, 1, WIDE, 1, 0>,
            (3, 1, 1, 0, 1) => Self::unrolled::<3, 1, WIDE, 0, 1>,
            (3, 1, 1, 1, 1) => Self::unrolled::<3, 1, WIDE, 1, 1>,
            (3, 2, 1, 1, 0) => Self::unrolled::<3, 2, WIDE, 1, 0>,
            (3, 2, 1, 0, 1) => Self::unrolled::<3, 2, WIDE, 0, 1>,
            (5, 1, 1, 2, 0) => Self::unrolled::<5, 1, WIDE, 2, 0>,
            (5, 1, 1, 0, 2) => Self::unrolled::<5, 1, WIDE, 0, 2>,
            (5, 1, 1, 2, 2) => Self::unrolled::<5, 1, WIDE, 2, 2>,
            (5, 2, 1, 2, 0) => Self::unrolled::<5, 2, WIDE, 2, 0>,
            (5, 2, 1, 0, 1) => Self::unrolled::<5, 2, WIDE, 0, 1>,
            (5, 2, 1, 2, 1) => Self::unrolled::<5, 2, WIDE, 2, 1>,
            (5, 2, 1, 1, 0) => Self::unrolled::<5, 2, WIDE, 1, 0>,
            (5, 2, 1, 0, 2) => Self::unrolled::<5, 2, WIDE, 0, 2>,
            (5, 2, 1, 1, 2) => Self::unrolled::<5, 2, WIDE, 1, 2>,
            _ => return None,
        };
        Some(kernel)
    }

    /// Of the columns under the strip, the first `L` and the last `R` are zeros, and `taps.x` begins behind them.
    #[inline(never)]
    fn unrolled<const KW: usize, const S: usize, const T: usize, const L: usize, const R: usize>(
        &self,
        taps: &Taps<'_>,
        quads: Range<usize>,
        y: &mut [f32],
    ) {
        let (pitch, c, columns, all) = (self.quads, self.s.c, (T - 1) * S + KW, self.s.kh * KW);
        let end = match taps.rows {
            0 => 0,
            rows => (rows - 1) * taps.step + (columns - L - R) * pitch,
        };
        assert!(end <= taps.x.len() && quads.end <= pitch && (T - 1) * c + quads.end * LANES <= y.len());
        assert!(taps.skipped + taps.rows <= self.s.kh && quads.end * all <= self.w.len());
        let (lo, hi) = (F32x4::splat(self.clamp.0), F32x4::splat(self.clamp.1));
        let bias = &self.bias[..quads.end];
        for q in quads {
            let mut acc = [F32x4::load(&bias[q]); T];
            let mut w = self.w.as_ptr().wrapping_add(q * all + taps.skipped * KW);
            let mut line = taps.x.as_ptr().wrapping_add(q);
            for _ in 0..taps.rows {
                // Safety: the last tap of the last row is below `quads.end · kh · KW`.
                let filter: [F32x4; KW] = unrolled(F32x4::ZERO, |kx| F32x4::load(unsafe { &*w.add(kx) }));
                // Each a step behind the one before: products of columns and steps would wait in registers.
                let mut next = line;
                let places: [_; COLUMNS] = unrolled(line, |_| {
                    let place = next;
                    next = place.wrapping_add(pitch);
                    place
                });
                // Safety: the last column of the last row is below `end`.
                let x = |column: usize| F32x4::load(unsafe { &*places[column - L] });
                for t in 0..T {
                    let inside = L.saturating_sub(t * S)..KW.min(columns - R - t * S);
                    // Five products that wait for each other and for those of the row before would be too many.
                    let chained = KW < 5;
                    let (first, w0) = (x(t * S + inside.start), filter[inside.start]);
                    let mut sum = if chained { first.mul_add(w0, acc[t]) } else { first.mul(w0) };
                    for kx in 1..KW {
                        if kx > inside.start && kx < inside.end {
                            sum = x(t * S + kx).mul_add(filter[kx], sum);
                        }
                    }
                    acc[t] = if chained { sum } else { acc[t].add(sum) };
                }
                (w, line) = (w.wrapping_add(KW), line.wrapping_add(taps.step));
            }
            for t in 0..T {
                // Safety: `t · c + q · LANES + LANES` is at most what was asserted.
                let y = unsafe { &mut *y.as_mut_ptr().add(t * c + q * LANES).cast() };
                acc[t].at_least(lo).at_most(hi).store(y);
            }
        }
    }

    #[inline(never)]
    fn any<const T: usize>(&self, taps: &Taps<'_>, range: Range<usize>, y: &mut [f32]) {
        let (s, quads) = (self.s, self.quads);
        let (stride, dilation) = (s.stride[1], s.dilation[1]);
        for q in range {
            let w = &self.w[(q * s.kh + taps.skipped) * s.kw..][..taps.rows * s.kw];
            let mut acc = [F32x4::load(&self.bias[q]); T];
            for ky in 0..taps.rows {
                for kx in 0..s.kw {
                    let w = F32x4::load(&w[ky * s.kw + kx]);
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
            let w = PackedTaps::pack(s.c, &w);
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

    #[test]
    fn zeros_at_the_sides_of_wide_strips_agree_with_f64() {
        let mut rng = Rng::new(43);
        let mut scratch = Scratch::default();
        for (kw, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            for (w, left, right) in (7..=24).flat_map(|w| (0..3).flat_map(move |l| (0..3).map(move |r| (w, l, r)))) {
                let (h, c) = (4, if w % 3 == 0 { 5 } else { 12 });
                let padding = [1, left, 0, right];
                let [oh, ow] = [(h + 1 - 3) / stride + 1, (w + left + right - kw) / stride + 1];
                let (strides, dilation) = ([stride; 2], [1; 2]);
                let s =
                    ConvShape { n: 1, h, w, c, kh: 3, kw, m: c, oh, ow, stride: strides, padding, dilation, groups: c };
                let (x, w) = (rng.fill(s.x_len()), rng.fill(s.kh * s.kw * s.c));
                let mut y = vec![f32::NAN; s.y_len()];
                depthwise(&s, &x, &PackedTaps::pack(s.c, &w), &mut y, Epilogue::default(), &mut scratch);
                assert_close(&y, &convolution(&s, &x, &w), TOLERANCE * (s.kh * s.kw) as f64, &format!("{s:?}"));
            }
        }
    }
}
