//! Left operands of the tiled product. None is copied whole: rows are runs inside an NHWC tensor ([`Plain`]),
//! gathered from several ([`Patches`]), or columns are ([`Columns`], the transposed operand of weight gradients).

#![expect(
    clippy::needless_range_loop,
    reason = "ranges of constants are unrolled, iterators over arrays not always, and then sums leave their registers"
)]

use core::ops::Range;

use super::conv2d::ConvShape;
use super::elementwise::copy;
use super::simd::{F32x4, unrolled};
use super::tile::{MAX_MR, NR};

/// `outer × inner` places, a step apart in each direction.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub(super) outer: usize,
    pub(super) outer_step: usize,
    pub(super) inner: usize,
    pub(super) inner_step: usize,
}

/// The accumulators of `MR` rows and `NP` panels.
pub(super) type Acc<const MR: usize, const NP: usize> = [[[F32x4; 2]; NP]; MR];

/// A left operand, `m×k`.
pub(super) trait Lhs {
    /// k.
    fn depth(&self) -> usize;

    /// `MR` rows, ready for any number of panels.
    type Rows<'a, const MR: usize>
    where
        Self: 'a;

    /// Rows `row..row + MR`.
    fn rows<const MR: usize>(&mut self, row: usize) -> Self::Rows<'_, MR>;

    /// `acc + rows · b`; each panel has `depth` rows.
    fn accumulate<const MR: usize, const NP: usize>(
        rows: &Self::Rows<'_, MR>,
        b: [&[[f32; NR]]; NP],
        acc: Acc<MR, NP>,
    ) -> Acc<MR, NP>;
}

/// Where the elements of `MR` rows lie.
trait Place<const MR: usize>: Copy {
    /// Element `k` of row `r`.
    ///
    /// # Safety
    ///
    /// The row has more than `k` elements.
    unsafe fn get(self, r: usize, k: usize) -> f32;

    /// The place `k` elements on.
    fn behind(self, k: usize) -> Self;
}

/// Rows that lie anywhere.
impl<const MR: usize> Place<MR> for [*const f32; MR] {
    #[inline(always)]
    unsafe fn get(self, r: usize, k: usize) -> f32 {
        // Safety: the caller's.
        unsafe { *self[r].add(k) }
    }

    #[inline(always)]
    fn behind(self, k: usize) -> Self {
        unrolled(core::ptr::null(), |r| self[r].wrapping_add(k))
    }
}

/// Rows side by side.
impl<const MR: usize> Place<MR> for *const [f32; MR] {
    #[inline(always)]
    unsafe fn get(self, r: usize, k: usize) -> f32 {
        // Safety: the caller's.
        unsafe { (*self.add(k))[r] }
    }

    #[inline(always)]
    fn behind(self, k: usize) -> Self {
        self.wrapping_add(k)
    }
}

/// `acc + a · b` over `len` steps of k, without the checks that are 1 to 4 % of a product's time.
///
/// A turn is two steps, which share the cost of moving on: 1.16 times as fast where a multiply-add is two instructions. The way
/// out between them parts them. In one piece, LLVM lays the products of each sum side by side, and what both steps have loaded
/// waits for that in more registers than there are.
///
/// # Safety
///
/// All rows of `a` and all panels of `b` have `len` elements.
#[inline(always)]
unsafe fn products<const MR: usize, const NP: usize>(
    len: usize,
    mut a: impl Place<MR>,
    b: &[&[[f32; NR]]; NP],
    mut acc: Acc<MR, NP>,
) -> Acc<MR, NP> {
    let mut b: [*const [f32; NR]; NP] = unrolled(core::ptr::null(), |q| b[q].as_ptr());
    let mut left = len;
    while left > 0 {
        // Safety: one step is left at least.
        unsafe { step(&mut acc, 0, a, &b) };
        if left == 1 {
            break;
        }
        // Safety: two steps are left at least.
        unsafe { step(&mut acc, 1, a, &b) };
        a = a.behind(2);
        b = unrolled(core::ptr::null(), |q| b[q].wrapping_add(2));
        left -= 2;
    }
    acc
}

/// Step `k`.
///
/// # Safety
///
/// All rows of `a` and all panels of `b` have more than `k` elements.
#[inline(always)]
unsafe fn step<const MR: usize, const NP: usize>(
    acc: &mut Acc<MR, NP>,
    k: usize,
    a: impl Place<MR>,
    b: &[*const [f32; NR]; NP],
) {
    // Safety: the caller's.
    let b: [[F32x4; 2]; NP] = unrolled([F32x4::ZERO; 2], |q| F32x4::load_pair(unsafe { &*b[q].add(k) }));
    for r in 0..MR {
        // Safety: the caller's.
        let a = F32x4::splat(unsafe { a.get(r, k) });
        for q in 0..NP {
            acc[r][q] = [a.mul_add(b[q][0], acc[r][q][0]), a.mul_add(b[q][1], acc[r][q][1])];
        }
    }
}

/// The first `len` elements of each slice.
#[inline(always)]
fn heads<'a, T, const N: usize>(x: &[&'a [T]; N], len: usize) -> [&'a [T]; N] {
    unrolled(&[] as &[T], |i| &x[i][..len])
}

/// A whose rows are `len` consecutive floats each, `step` apart from `base` on.
pub(super) struct Plain<'a> {
    pub(super) x: &'a [f32],
    pub(super) base: usize,
    pub(super) step: usize,
    pub(super) len: usize,
}

impl Lhs for Plain<'_> {
    fn depth(&self) -> usize {
        self.len
    }

    type Rows<'a, const MR: usize>
        = [&'a [f32]; MR]
    where
        Self: 'a;

    fn rows<const MR: usize>(&mut self, row: usize) -> [&[f32]; MR] {
        unrolled(&[], |r| &self.x[self.base + (row + r) * self.step..][..self.len])
    }

    #[inline(always)]
    fn accumulate<const MR: usize, const NP: usize>(
        rows: &[&[f32]; MR],
        b: [&[[f32; NR]]; NP],
        acc: Acc<MR, NP>,
    ) -> Acc<MR, NP> {
        let len = rows[0].len();
        let (a, b) = (heads(rows, len), heads(&b, len));
        // Safety: all have `len` elements.
        unsafe { products(len, unrolled(core::ptr::null(), |r| a[r].as_ptr()), &b, acc) }
    }
}

/// A whose rows are what lies under the outputs of a convolution: rows `lines` of its taps, and of each run in them the `len`
/// floats from `first` on.
///
/// `MR` of them are gathered in `buffer`, with the zeros of the border, once for all panels.
pub(super) struct Patches<'a> {
    pub(super) s: &'a ConvShape,
    pub(super) x: &'a [f32],
    /// The output that row 0 belongs to, counted through all images.
    pub(super) row: usize,
    pub(super) lines: Range<usize>,
    /// Runs in a row of taps.
    pub(super) runs: usize,
    pub(super) first: usize,
    pub(super) len: usize,
    /// Room for [`MAX_MR`] rows.
    pub(super) buffer: &'a mut [f32],
}

impl Patches<'_> {
    /// First line and float of the padded image under output (oy, ox).
    #[inline(always)]
    fn corner(&self, oy: usize, ox: usize) -> (usize, usize) {
        let s = self.s;
        (oy * s.stride[0] + self.lines.start * s.dilation[0], ox * s.stride[1] * s.c + self.first)
    }

    /// Where in an image the floats under outputs (oy, ox) to (oy, ox + count − 1) begin, if all of them lie inside it.
    #[inline(always)]
    fn inside(&self, oy: usize, ox: usize, count: usize) -> Option<usize> {
        let s = self.s;
        let (top, left, pitch) = (s.padding[0], s.padding[1] * s.c, s.w * s.c);
        let (y, first) = self.corner(oy, ox);
        let last_y = y + (self.lines.len() - 1) * s.dilation[0];
        let end = first + (count - 1) * s.stride[1] * s.c + (self.runs - 1) * s.dilation[1] * s.c + self.len;
        let inside = ox + count <= s.ow && y >= top && last_y < top + s.h && first >= left && end <= left + pitch;
        inside.then(|| (y - top) * pitch + first - left)
    }

    /// Gathers what lies under outputs of one line whose floats begin with `x`, into rows `depth` floats apart.
    #[inline(always)]
    fn gather_inside<const MR: usize>(&self, x: &[f32], depth: usize, rows: &mut [f32]) {
        let s = self.s;
        let mut to = 0;
        for ky in 0..self.lines.len() {
            for kx in 0..self.runs {
                let x = &x[(ky * s.dilation[0] * s.w + kx * s.dilation[1]) * s.c..];
                for r in 0..MR {
                    copy(&x[r * s.stride[1] * s.c..][..self.len], &mut rows[r * depth + to..][..self.len]);
                }
                to += self.len;
            }
        }
    }

    /// Gathers what lies under output (oy, ox) of image `x`, zeros where that is outside.
    fn gather_border(&self, x: &[f32], oy: usize, ox: usize, row: &mut [f32]) {
        let (s, len) = (self.s, self.len);
        let (left, pitch, step_x) = (s.padding[1] * s.c, s.w * s.c, s.dilation[1] * s.c);
        let first = self.corner(oy, ox).1;
        let mut runs = row.chunks_exact_mut(len);
        for ky in self.lines.clone() {
            let line = s.input_row(oy, ky).map(|iy| &x[iy * pitch..][..pitch]).unwrap_or_default();
            for (kx, run) in (0..self.runs).zip(&mut runs) {
                let first = first + kx * step_x;
                let skipped = left.saturating_sub(first).min(len);
                let start = (first + skipped).saturating_sub(left).min(line.len());
                let count = (len - skipped).min(line.len() - start);
                run.fill(0.0);
                copy(&line[start..][..count], &mut run[skipped..][..count]);
            }
        }
    }
}

impl Lhs for Patches<'_> {
    fn depth(&self) -> usize {
        self.lines.len() * self.runs * self.len
    }

    type Rows<'a, const MR: usize>
        = [&'a [f32]; MR]
    where
        Self: 'a;

    fn rows<const MR: usize>(&mut self, row: usize) -> [&[f32]; MR] {
        let (s, depth) = (self.s, self.depth());
        let mut buffer = core::mem::take(&mut self.buffer);
        let row = self.row + row;
        let (mut image, pixel) = (row / (s.oh * s.ow), row % (s.oh * s.ow));
        let (mut oy, mut ox) = (pixel / s.ow, pixel % s.ow);
        if let Some(start) = self.inside(oy, ox, MR) {
            self.gather_inside::<MR>(&self.x[image * s.x_len() + start..], depth, buffer);
        } else {
            for row in buffer.chunks_exact_mut(depth).take(MR) {
                let x = &self.x[image * s.x_len()..][..s.x_len()];
                match self.inside(oy, ox, 1) {
                    Some(start) => self.gather_inside::<1>(&x[start..], depth, row),
                    None => self.gather_border(x, oy, ox, row),
                }
                ox += 1;
                if ox == s.ow {
                    (ox, oy) = (0, oy + 1);
                }
                if oy == s.oh {
                    (oy, image) = (0, image + 1);
                }
            }
        }
        core::mem::swap(&mut self.buffer, &mut buffer);
        unrolled(&[] as &[f32], |r| &self.buffer[r * depth..][..depth])
    }

    #[inline(always)]
    fn accumulate<const MR: usize, const NP: usize>(
        rows: &[&[f32]; MR],
        b: [&[[f32; NR]]; NP],
        acc: Acc<MR, NP>,
    ) -> Acc<MR, NP> {
        Plain::accumulate(rows, b, acc)
    }
}

/// A whose columns are runs: element (row, k) lies `row` floats behind place k of `images` walks `image_step` apart.
pub(super) struct Columns<'a> {
    pub(super) x: &'a [f32],
    pub(super) images: usize,
    pub(super) image_step: usize,
    pub(super) walk: Walk,
    /// Room for [`MAX_MR`] rows, which are gathered once for all panels.
    pub(super) buffer: &'a mut [f32],
}

impl Columns<'_> {
    /// Floats the buffer needs for a given depth.
    pub(super) fn buffer_len(depth: usize) -> usize {
        depth * MAX_MR
    }
}

impl Lhs for Columns<'_> {
    fn depth(&self) -> usize {
        self.images * self.walk.outer * self.walk.inner
    }

    type Rows<'a, const MR: usize>
        = &'a [[f32; MR]]
    where
        Self: 'a;

    fn rows<const MR: usize>(&mut self, row: usize) -> &[[f32; MR]] {
        let (walk, depth) = (self.walk, self.depth());
        let mut rows = self.buffer.as_chunks_mut::<MR>().0[..depth].iter_mut();
        for image in 0..self.images {
            for outer in 0..walk.outer {
                let first = row + image * self.image_step + outer * walk.outer_step;
                let places = (0..walk.inner).map(|inner| first + inner * walk.inner_step);
                for (place, rows) in places.zip(&mut rows) {
                    rows.copy_from_slice(&self.x[place..][..MR]);
                }
            }
        }
        &self.buffer.as_chunks::<MR>().0[..depth]
    }

    #[inline(always)]
    fn accumulate<const MR: usize, const NP: usize>(
        rows: &&[[f32; MR]],
        b: [&[[f32; NR]]; NP],
        acc: Acc<MR, NP>,
    ) -> Acc<MR, NP> {
        let (len, b) = (rows.len(), heads(&b, rows.len()));
        // Safety: all have `len` elements.
        unsafe { products(len, rows.as_ptr(), &b, acc) }
    }
}
