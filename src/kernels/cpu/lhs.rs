//! Left operands of the tiled product. None is copied whole: rows are runs inside an NHWC tensor ([`Plain`], [`Rows`]),
//! or columns are ([`Columns`], the transposed operand of weight gradients).

use core::array::from_fn;

use super::simd::F32x4;
use super::tile::{MAX_MR, NR};

/// Offsets of the rows of A: row `i` starts at `base + i / width · line_step + i % width · step`.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) base: usize,
    pub(super) width: usize,
    pub(super) line_step: usize,
    pub(super) step: usize,
}

impl Grid {
    fn at(&self, i: usize) -> usize {
        self.base + i / self.width * self.line_step + i % self.width * self.step
    }
}

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

/// One step over k.
#[inline(always)]
fn step<const MR: usize, const NP: usize>(acc: &mut Acc<MR, NP>, a: [f32; MR], b: [&[f32; NR]; NP]) {
    let b = b.map(F32x4::load_pair);
    for r in 0..MR {
        let a = F32x4::splat(a[r]);
        for q in 0..NP {
            acc[r][q] = [a.mul_add(b[q][0], acc[r][q][0]), a.mul_add(b[q][1], acc[r][q][1])];
        }
    }
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
        from_fn(|r| &self.x[self.base + (row + r) * self.step..][..self.len])
    }

    #[inline(always)]
    fn accumulate<const MR: usize, const NP: usize>(
        rows: &[&[f32]; MR],
        b: [&[[f32; NR]]; NP],
        mut acc: Acc<MR, NP>,
    ) -> Acc<MR, NP> {
        let len = rows[0].len();
        let (a, b): ([_; MR], [_; NP]) = (rows.map(|a| &a[..len]), b.map(|b| &b[..len]));
        for p in 0..len {
            step(&mut acc, from_fn(|r| a[r][p]), from_fn(|q| &b[q][p]));
        }
        acc
    }
}

/// A whose rows are runs of `len` consecutive floats at the places of `walk`.
pub(super) struct Rows<'a> {
    pub(super) x: &'a [f32],
    pub(super) grid: Grid,
    pub(super) walk: Walk,
    pub(super) len: usize,
}

impl Lhs for Rows<'_> {
    fn depth(&self) -> usize {
        self.walk.outer * self.walk.inner * self.len
    }

    type Rows<'a, const MR: usize>
        = (&'a Self, [usize; MR])
    where
        Self: 'a;

    fn rows<const MR: usize>(&mut self, row: usize) -> (&Self, [usize; MR]) {
        (self, from_fn(|r| self.grid.at(row + r)))
    }

    #[inline(always)]
    fn accumulate<const MR: usize, const NP: usize>(
        &(rows, at): &(&Self, [usize; MR]),
        b: [&[[f32; NR]]; NP],
        mut acc: Acc<MR, NP>,
    ) -> Acc<MR, NP> {
        let (walk, len) = (rows.walk, rows.len);
        let mut k = 0;
        for outer in 0..walk.outer {
            for inner in 0..walk.inner {
                let skip = outer * walk.outer_step + inner * walk.inner_step;
                let a: [&[f32]; MR] = from_fn(|r| &rows.x[at[r] + skip..][..len]);
                let b: [&[[f32; NR]]; NP] = from_fn(|q| &b[q][k..][..len]);
                for p in 0..len {
                    step(&mut acc, from_fn(|r| a[r][p]), from_fn(|q| &b[q][p]));
                }
                k += len;
            }
        }
        acc
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
        mut acc: Acc<MR, NP>,
    ) -> Acc<MR, NP> {
        let len = rows.len();
        let b = b.map(|b| &b[..len]);
        for (p, a) in rows.iter().enumerate() {
            step(&mut acc, *a, from_fn(|q| &b[q][p]));
        }
        acc
    }
}
