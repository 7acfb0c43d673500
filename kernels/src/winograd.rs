//! Winograd's minimal filtering F(4×4, 3×3): 36 instead of 144 products per channel pair and tile of 4×4 outputs
//! (Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks"), with the points 0, ±1/√2, ±√2 and ∞, whose transforms
//! amplify rounding several times less than those of ±1 and ±2.
//!
//! Tiles of all images are handled in chunks: transformed to `[36][tile][c]`, one product per tap with the filters that were
//! transformed when they were packed, and back. A tile's sums depend on nothing beside it.

#![expect(
    clippy::needless_range_loop,
    reason = "ranges of constants are unrolled, iterators over arrays not always, and then sums leave their registers"
)]

use core::ops::Range;

use super::conv2d::ConvShape;
use super::gemm::{Epilogue, PackedB, multiply_rows};
use super::parallel::{Cut, Items, split, with_scratch};
use super::simd::{F32x4, LANES, quad, unrolled};
use super::tile::Out;

/// Output rows and columns of a tile.
pub const TILE: usize = 4;
/// Input rows and columns under a tile.
const PATCH: usize = 6;
/// Products of a tile for each pair of channels.
pub const TAPS: usize = PATCH * PATCH;
/// Floats of transformed tiles and products held at a time, so that they stay in the second-level cache.
const CHUNK: usize = 128 << 10;
/// Fewer tiles in a chunk reuse the filters too little.
const LEAST_TILES: usize = 24;
/// Floats between taps beyond what they hold: whole taps are often a power of two, and 36 of them would share a cache set.
const GAP: usize = 16;

/// Which layers are faster this way. The rule looks at one image, so that the batch has no say in a result.
///
/// Measured in Chromium against the direct kernel: 64→64 channels at 56² 3.3 times as fast, 128→128 at 28² 3.4, 256→256 at 14² 2.6,
/// 512→512 at 7² 1.3 to 1.8 (four tiles share filters that no cache holds), and with few channels 16→64 at 55² 2.3. With fewer the
/// transforms are most of the work.
pub fn suits(s: &ConvShape) -> bool {
    let window = [s.kh, s.kw] == [3, 3] && s.stride == [1, 1] && s.dilation == [1, 1] && s.groups == 1;
    window && s.c.is_multiple_of(LANES) && s.m.is_multiple_of(LANES) && s.c >= 16 && s.m >= 16
}

/// Filters in the transformed domain, a matrix of `c×m` a tap.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    taps: Vec<PackedB>,
}

impl Filters {
    /// Transforms `[3, 3, c, m]`: `G g Gᵀ`.
    pub(super) fn new(c: usize, m: usize, w: &[f32]) -> Self {
        let mut taps = vec![PackedB::zeroed(c, m); TAPS];
        transform_filters(c, m, w, &mut |p, tap, row| taps[tap].set_row(p, row.iter().map(|u| *u as f32)));
        Self { taps }
    }

    /// Floats that the filters of a shape take: four times as many as they are, rounded up to whole panels.
    pub(super) fn len(s: &ConvShape) -> usize {
        TAPS * PackedB::len(s.c, s.m)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.taps.iter().map(PackedB::bytes).sum()
    }
}

/// Filters `[3, 3, c, m]` in the transformed domain as one matrix, `[c, 36, m]`.
pub fn filters(c: usize, m: usize, w: &[f32]) -> Vec<f32> {
    let mut all = Vec::with_capacity(c * TAPS * m);
    transform_filters(c, m, w, &mut |_, _, row| all.extend(row.iter().map(|u| *u as f32)));
    all
}

/// Hands on the rows of `m` transformed weights: by channel, then by tap.
fn transform_filters(c: usize, m: usize, w: &[f32], store: &mut dyn FnMut(usize, usize, &[f64])) {
    debug_assert_eq!(w.len(), 9 * c * m);
    let (mut half, mut row) = (vec![0.0; PATCH * 3 * m], vec![0.0; m]);
    for p in 0..c {
        let lines = unrolled(&[] as &[f32], |tap| &w[(tap * c + p) * m..][..m]);
        transform_filter(&lines, &mut half, &mut row, &mut |tap, row| store(p, tap, row));
    }
}

/// A row of every tap, from its nine lines of `m` weights. A call a row, so that an engine that has compiled this anew can use it.
#[inline(never)]
fn transform_filter(w: &[&[f32]; 9], half: &mut [f64], row: &mut [f64], store: &mut dyn FnMut(usize, &[f64])) {
    let m = row.len();
    half.fill(0.0);
    for i in 0..PATCH {
        for (tap, w) in w.iter().enumerate() {
            let (g, half) = (G[i][tap / 3], &mut half[(i * 3 + tap % 3) * m..][..m]);
            if g != 0.0 {
                half.iter_mut().zip(*w).for_each(|(u, w)| *u += g * f64::from(*w));
            }
        }
    }
    for tap in 0..TAPS {
        row.fill(0.0);
        for b in 0..3 {
            let (g, half) = (G[tap % PATCH][b], &half[(tap / PATCH * 3 + b) * m..][..m]);
            if g != 0.0 {
                row.iter_mut().zip(half).for_each(|(u, t)| *u += g * t);
            }
        }
        store(tap, row);
    }
}

const SQRT_1_2: f32 = core::f32::consts::FRAC_1_SQRT_2;
const SQRT_2: f32 = core::f32::consts::SQRT_2;

/// `G` of the filter transform.
const G: [[f64; 3]; PATCH] = {
    const ROOT: f64 = core::f64::consts::SQRT_2;
    [
        [1.0, 0.0, 0.0],
        [-2.0 / 3.0, -ROOT / 3.0, -1.0 / 3.0],
        [-2.0 / 3.0, ROOT / 3.0, -1.0 / 3.0],
        [1.0 / 6.0, ROOT / 6.0, 1.0 / 3.0],
        [1.0 / 6.0, -ROOT / 6.0, 1.0 / 3.0],
        [0.0, 0.0, 1.0],
    ]
};

/// `Bᵀ d`.
#[inline(always)]
fn input_transform(d: [F32x4; PATCH]) -> [F32x4; PATCH] {
    let (ends, half) = (F32x4::splat(-2.5), F32x4::splat(-0.5));
    let near =
        (d[2].mul_add(F32x4::splat(-2.0), d[4]), d[1].mul_add(F32x4::splat(-2.0), d[3]).mul(F32x4::splat(SQRT_1_2)));
    let far = (d[2].mul_add(half, d[4]), d[1].mul_add(half, d[3]).mul(F32x4::splat(SQRT_2)));
    [
        d[2].mul_add(ends, d[0].add(d[4])),
        near.0.add(near.1),
        near.0.sub(near.1),
        far.0.add(far.1),
        far.0.sub(far.1),
        d[3].mul_add(ends, d[1].add(d[5])),
    ]
}

/// `Aᵀ m`.
#[inline(always)]
fn output_transform(m: [F32x4; PATCH]) -> [F32x4; TILE] {
    let (a, b) = (m[1].add(m[2]), m[1].sub(m[2]).mul(F32x4::splat(SQRT_1_2)));
    let (c, d) = (m[3].add(m[4]), m[3].sub(m[4]).mul(F32x4::splat(SQRT_2)));
    [
        m[0].add(a).add(c),
        b.add(d),
        c.mul_add(F32x4::splat(2.0), a.mul(F32x4::splat(0.5))),
        b.mul_add(F32x4::splat(0.5), d.mul_add(F32x4::splat(2.0), m[5])),
    ]
}

/// `y = clamp(conv(x, w) + bias + residual)` for shapes that [`suits`] accepts.
pub(super) fn winograd(s: &ConvShape, x: &[f32], w: &Filters, y: &mut [f32], e: Epilogue<'_>) {
    let job = Job { s, x, w, across: s.ow.div_ceil(TILE), down: s.oh.div_ceil(TILE), patch: PATCH };
    let lines = s.n * job.down;
    if lines * job.across < 2 * LEAST_TILES {
        // Threads share taps rather than tiles, and so read different filters.
        return job.lines(0..lines, y, e);
    }
    split(lines, job.across * TAPS * s.c * s.m, Lines { y, first: 0, job: &job }, |lines, Lines { y, .. }| {
        job.lines(lines.clone(), y, e.behind(job.offset(lines.start)));
    });
}

/// The outputs of lines of tiles from line `first` on.
struct Lines<'a, 'b> {
    y: &'a mut [f32],
    first: usize,
    job: &'b Job<'b>,
}

impl Cut for Lines<'_, '_> {
    fn cut(self, lines: usize) -> (Self, Self) {
        let Self { y, first, job } = self;
        let (y, rest) = y.split_at_mut(job.offset(first + lines) - job.offset(first));
        (Self { y, first, job }, Self { y: rest, first: first + lines, job })
    }
}

/// What is transformed in one direction, with indices masked to its sizes. It is larger than needed: the compiler then knows no
/// bound of the loops below and does not unroll them, which would keep more values than there are registers.
type Half = [[F32x4; 16]; 8];

struct Job<'a> {
    s: &'a ConvShape,
    x: &'a [f32],
    w: &'a Filters,
    /// Tiles in a line, and lines in an image.
    across: usize,
    down: usize,
    /// [`PATCH`], unknown to the compiler.
    patch: usize,
}

impl Job<'_> {
    /// Floats of the outputs before line `line` of tiles, counted through all images.
    fn offset(&self, line: usize) -> usize {
        line / self.down * self.s.y_len() + line % self.down * TILE * self.s.ow * self.s.m
    }

    /// Image, first output row and first output column of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (line, column) = (tile / self.across, tile % self.across);
        (line / self.down, line % self.down * TILE, column * TILE)
    }

    /// Lines `lines` of tiles; `y` and the residual begin with their outputs.
    fn lines(&self, lines: Range<usize>, y: &mut [f32], e: Epilogue<'_>) {
        let s = self.s;
        let (all, start) = (lines.start * self.across..lines.end * self.across, self.offset(lines.start));
        let most = (CHUNK / (TAPS * (s.c + s.m))).max(LEAST_TILES);
        let chunk = all.len().div_ceil(all.len().div_ceil(most).max(1)).max(1);
        let (v_step, p_step) = (chunk * s.c + GAP, chunk * s.m + GAP);
        with_scratch(|scratch| {
            let (mut v, mut p) = (scratch.take(TAPS * v_step), scratch.take(TAPS * p_step));
            let (mut border, mut half) = (scratch.take(TAPS * s.c), [[F32x4::ZERO; 16]; 8]);
            for first in all.clone().step_by(chunk) {
                let tiles = first..all.end.min(first + chunk);
                for (i, tile) in tiles.clone().enumerate() {
                    self.transform_input(tile, &mut border, &mut half, &mut v[i * s.c..], v_step);
                }
                split(TAPS, tiles.len() * s.c * s.m, Items(&mut p, p_step), |taps, Items(p, _)| {
                    for (tap, p) in taps.zip(p.chunks_exact_mut(p_step)) {
                        let out = &mut Out { y: p, ld: s.m, col: 0 };
                        multiply_rows(
                            tiles.len(),
                            &v[tap * v_step..],
                            s.c,
                            &self.w.taps[tap],
                            Epilogue::default(),
                            out,
                        );
                    }
                });
                for (i, tile) in tiles.enumerate() {
                    self.transform_output(tile, (&p[i * s.m..], p_step), &mut half, (&mut *y, start), e);
                }
            }
            scratch.give(border);
            scratch.give(p);
            scratch.give(v);
        });
    }

    fn transform_input(&self, tile: usize, border: &mut [f32], half: &mut Half, v: &mut [f32], step: usize) {
        let s = self.s;
        let (image, oy, ox) = self.place(tile);
        let x = &self.x[image * s.x_len()..][..s.x_len()];
        let [top, left, ..] = s.padding;
        if oy >= top && ox >= left && oy + PATCH <= top + s.h && ox + PATCH <= left + s.w {
            self.transform_patch(&x[((oy - top) * s.w + ox - left) * s.c..], s.w * s.c, half, v, step);
            return;
        }
        border.fill(0.0);
        let skip = left.saturating_sub(ox).min(PATCH);
        let first = (ox + skip).saturating_sub(left).min(s.w);
        let len = (PATCH - skip).min(s.w - first) * s.c;
        for (i, line) in border.chunks_exact_mut(PATCH * s.c).enumerate() {
            if let Some(iy) = (oy + i).checked_sub(top).filter(|iy| *iy < s.h) {
                line[skip * s.c..][..len].copy_from_slice(&x[(iy * s.w + first) * s.c..][..len]);
            }
        }
        self.transform_patch(border, PATCH * s.c, half, v, step);
    }

    /// `v = Bᵀ d B` of the patch at the start of `x`, whose lines are `pitch` floats apart; taps are `step` floats apart.
    #[inline(never)]
    fn transform_patch(&self, x: &[f32], pitch: usize, half: &mut Half, v: &mut [f32], step: usize) {
        let (x, v) = (x.as_chunks::<LANES>().0, v.as_chunks_mut::<LANES>().0);
        let (quads, pitch, step) = (self.s.c / LANES, pitch / LANES, step / LANES);
        assert!((PATCH - 1) * pitch + PATCH * quads <= x.len() && (TAPS - 1) * step + quads <= v.len());
        for q in 0..quads {
            for j in 0..self.patch {
                // Safety: `patch` is PATCH, so that this is at most (PATCH - 1) · pitch + PATCH · quads - 1.
                let d = input_transform(unrolled(F32x4::ZERO, |i| unsafe { quad(x, i * pitch + j * quads + q) }));
                for i in 0..PATCH {
                    half[i][j & 15] = d[i];
                }
            }
            for i in 0..self.patch {
                let y = input_transform(unrolled(F32x4::ZERO, |j| half[i & 7][j]));
                for j in 0..PATCH {
                    // Safety: `patch` is PATCH, so that this is at most (TAPS - 1) · step + quads - 1.
                    y[j].store(unsafe { v.get_unchecked_mut((i * PATCH + j) * step + q) });
                }
            }
        }
    }

    /// `y = clamp(Aᵀ p A + bias + residual)` for the outputs of a tile that exist. `step`: floats between taps; `start`: the outputs
    /// before those of `y`.
    fn transform_output(
        &self,
        tile: usize,
        (p, step): (&[f32], usize),
        half: &mut Half,
        (y, start): (&mut [f32], usize),
        e: Epilogue<'_>,
    ) {
        let s = self.s;
        let (image, oy, ox) = self.place(tile);
        let first = ((image * s.oh + oy) * s.ow + ox) * s.m - start;
        let size = (TILE.min(s.oh - oy), TILE.min(s.ow - ox));
        self.transform_products((p, step), half, &mut y[first..], size, e.behind(first));
    }

    #[inline(never)]
    fn transform_products(
        &self,
        (p, step): (&[f32], usize),
        half: &mut Half,
        y: &mut [f32],
        (rows, columns): (usize, usize),
        e: Epilogue<'_>,
    ) {
        let (p, y) = (p.as_chunks::<LANES>().0, y.as_chunks_mut::<LANES>().0);
        let residual = e.residual.map(|r| r.as_chunks::<LANES>().0);
        let bias = e.bias.map(|b| b.as_chunks::<LANES>().0);
        let (lo, hi) = e.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let (lo, hi) = (F32x4::splat(lo), F32x4::splat(hi));
        let (quads, step, pitch) = (self.s.m / LANES, step / LANES, self.s.ow * self.s.m / LANES);
        assert!((TAPS - 1) * step + quads <= p.len());
        for q in 0..quads {
            let start = bias.map_or(F32x4::ZERO, |b| F32x4::load(&b[q]));
            for j in 0..self.patch {
                // Safety: `patch` is PATCH, so that this is at most (TAPS - 1) · step + quads - 1.
                let m = unrolled(F32x4::ZERO, |i| unsafe { quad(p, (i * PATCH + j) * step + q) });
                let sums = output_transform(m);
                for i in 0..TILE {
                    half[i][j & 15] = sums[i];
                }
            }
            for i in 0..rows {
                let sums = output_transform(unrolled(F32x4::ZERO, |j| half[i & 7][j]));
                for k in 0..TILE {
                    if k < columns {
                        let at = i * pitch + k * quads + q;
                        let mut sum = sums[k].add(start);
                        if let Some(r) = residual {
                            sum = sum.add(F32x4::load(&r[at]));
                        }
                        sum.at_least(lo).at_most(hi).store(&mut y[at]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close, convolution};
    use super::*;

    /// Rounding per product of values around 1: the transforms amplify it, to 1e-7 in these shapes.
    const TOLERANCE: f64 = 3e-7;

    fn shape(rng: &mut Rng) -> ConvShape {
        let padding = [0; 4].map(|_: usize| rng.range(0, 3));
        let least = |a: usize| 3usize.saturating_sub(padding[a] + padding[a + 2]).max(1);
        let (h, w) = (least(0) + rng.range(0, 13), least(1) + rng.range(0, 13));
        let (oh, ow) = (h + padding[0] + padding[2] - 2, w + padding[1] + padding[3] - 2);
        let (c, m, n) = (rng.range(4, 12) * LANES, rng.range(4, 12) * LANES, rng.range(1, 3));
        ConvShape { n, h, w, c, kh: 3, kw: 3, m, oh, ow, stride: [1; 2], padding, dilation: [1; 2], groups: 1 }
    }

    #[test]
    fn random_convolutions_agree_with_f64_and_images_alone() {
        let mut rng = Rng::new(61);
        for _ in 0..60 {
            let s = shape(&mut rng);
            assert!(suits(&s));
            let (x, w) = (rng.fill(s.n * s.x_len()), rng.fill(9 * s.c * s.m));
            let (bias, residual) = (rng.fill(s.m), rng.fill(s.n * s.y_len()));
            let mut expected = convolution(&s, &x, &w);
            let filters = Filters::new(s.c, s.m, &w);
            let tolerance = TOLERANCE * (9 * s.c) as f64;
            let mut y = vec![f32::NAN; s.n * s.y_len()];
            winograd(&s, &x, &filters, &mut y, Epilogue::default());
            assert_close(&y, &expected, tolerance, &format!("{s:?}"));
            let e = Epilogue { bias: Some(&bias), residual: Some(&residual), clamp: Some((-1.0, 1.5)) };
            winograd(&s, &x, &filters, &mut y, e);
            for (i, v) in expected.iter_mut().enumerate() {
                *v = (*v + f64::from(bias[i % s.m]) + f64::from(residual[i])).clamp(-1.0, 1.5);
            }
            assert_close(&y, &expected, tolerance, &format!("{s:?} with epilogue"));
            let alone = ConvShape { n: 1, ..s.clone() };
            for i in 0..s.n {
                let mut image = vec![f32::NAN; s.y_len()];
                let residual = Some(&residual[i * s.y_len()..][..s.y_len()]);
                let x = &x[i * s.x_len()..][..s.x_len()];
                winograd(&alone, x, &filters, &mut image, Epilogue { residual, ..e });
                assert_eq!(image, y[i * s.y_len()..][..s.y_len()], "image {i} alone, {s:?}");
            }
        }
    }

    #[test]
    fn large_layers_are_done_in_chunks() {
        let mut rng = Rng::new(62);
        let s = ConvShape {
            n: 2,
            h: 33,
            w: 30,
            // More than a block of the products' sums.
            c: 300,
            kh: 3,
            kw: 3,
            m: 12,
            oh: 33,
            ow: 30,
            stride: [1; 2],
            padding: [1; 4],
            dilation: [1; 2],
            groups: 1,
        };
        let (x, w) = (rng.fill(s.n * s.x_len()), rng.fill(9 * s.c * s.m));
        let mut y = vec![f32::NAN; s.n * s.y_len()];
        winograd(&s, &x, &Filters::new(s.c, s.m, &w), &mut y, Epilogue::default());
        assert_close(&y, &convolution(&s, &x, &w), TOLERANCE * (9 * s.c) as f64, &format!("{s:?}"));
    }
}
