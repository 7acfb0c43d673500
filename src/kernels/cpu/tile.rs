//! The register-tiled product under every dense kernel: `MR` rows of A times panels of eight columns of B.
//!
//! A is never copied: its rows are runs inside an NHWC tensor ([`Rows`]) or its columns are ([`Columns`], the
//! transposed A of weight gradients). Every output element is one chain of `acc + a·b` over k in ascending order,
//! whatever the tile, so tiling cannot change a result.

use core::array::from_fn;
use core::ops::Range;

use super::gemm::{Epilogue, PackedB};
use super::simd::F32x4;

/// Columns in a panel of B.
pub(super) const NR: usize = 8;
/// Rows in the largest tile: 12 accumulators, two B vectors and one A value fill the 15 registers V8 hands out.
const MAX_MR: usize = 6;
/// Bytes of B that one sweep over the rows of A may touch, so that they stay in the second-level cache.
const B_BLOCK_BYTES: usize = 768 << 10;
/// Longest k range worth one pass: six rows of A and a panel of B then share the first-level cache.
pub(super) const K_BLOCK: usize = 768;

/// Splits `0..k` into ranges of nearly equal length, none above `longest`: one range for `k` up to it, even for 0.
pub(super) fn k_blocks(k: usize, longest: usize) -> impl Iterator<Item = Range<usize>> {
    let blocks = k.div_ceil(longest).max(1);
    (0..blocks).map(move |i| k * i / blocks..k * (i + 1) / blocks)
}

/// Offsets of the rows of A: row `i` starts at `base + i / width · line_step + i % width · step`.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) base: usize,
    pub(super) width: usize,
    pub(super) line_step: usize,
    pub(super) step: usize,
}

impl Grid {
    /// Rows `step` floats apart.
    pub(super) fn even(base: usize, step: usize) -> Self {
        Self {
            base,
            width: usize::MAX,
            line_step: 0,
            step,
        }
    }

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

impl Walk {
    /// One place.
    pub(super) const ONE: Self = Self {
        outer: 1,
        outer_step: 0,
        inner: 1,
        inner_step: 0,
    };
}

/// The accumulators of `MR` rows and `NP` panels.
type Acc<const MR: usize, const NP: usize> = [[[F32x4; 2]; NP]; MR];

/// A left operand, `m×k`.
pub(super) trait Lhs {
    /// k.
    fn depth(&self) -> usize;

    /// Adds `A[row..row + MR] · b` to `acc`; each panel in `b` has `depth` rows.
    fn accumulate<const MR: usize, const NP: usize>(
        &self,
        row: usize,
        b: [&[[f32; NR]]; NP],
        acc: &mut Acc<MR, NP>,
    );
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

    #[inline(always)]
    fn accumulate<const MR: usize, const NP: usize>(
        &self,
        row: usize,
        b: [&[[f32; NR]]; NP],
        acc: &mut Acc<MR, NP>,
    ) {
        let (walk, len) = (self.walk, self.len);
        let at: [usize; MR] = from_fn(|r| self.grid.at(row + r));
        let mut k = 0;
        for outer in 0..walk.outer {
            for inner in 0..walk.inner {
                let skip = outer * walk.outer_step + inner * walk.inner_step;
                let a: [&[f32]; MR] = from_fn(|r| &self.x[at[r] + skip..][..len]);
                let b: [&[[f32; NR]]; NP] = from_fn(|q| &b[q][k..][..len]);
                for p in 0..len {
                    let b: [[F32x4; 2]; NP] = from_fn(|q| F32x4::load_pair(&b[q][p]));
                    for r in 0..MR {
                        let a = F32x4::splat(a[r][p]);
                        for q in 0..NP {
                            acc[r][q] = [
                                a.mul_add(b[q][0], acc[r][q][0]),
                                a.mul_add(b[q][1], acc[r][q][1]),
                            ];
                        }
                    }
                }
                k += len;
            }
        }
    }
}

/// A whose columns are runs: element (row, k) lies `row` floats behind place k of `walk`.
pub(super) struct Columns<'a> {
    pub(super) x: &'a [f32],
    pub(super) walk: Walk,
}

impl Lhs for Columns<'_> {
    fn depth(&self) -> usize {
        self.walk.outer * self.walk.inner
    }

    #[inline(always)]
    fn accumulate<const MR: usize, const NP: usize>(
        &self,
        row: usize,
        b: [&[[f32; NR]]; NP],
        acc: &mut Acc<MR, NP>,
    ) {
        let walk = self.walk;
        let mut k = 0;
        for outer in 0..walk.outer {
            let b: [&[[f32; NR]]; NP] = from_fn(|q| &b[q][k..][..walk.inner]);
            let mut at = row + outer * walk.outer_step;
            for p in 0..walk.inner {
                let Some(a) = self.x.get(at..).and_then(|x| x.first_chunk::<MR>()) else {
                    return;
                };
                let b: [[F32x4; 2]; NP] = from_fn(|q| F32x4::load_pair(&b[q][p]));
                for r in 0..MR {
                    let a = F32x4::splat(a[r]);
                    for q in 0..NP {
                        acc[r][q] = [
                            a.mul_add(b[q][0], acc[r][q][0]),
                            a.mul_add(b[q][1], acc[r][q][1]),
                        ];
                    }
                }
                at += walk.inner_step;
            }
            k += walk.inner;
        }
    }
}

/// Rows `k0..k0 + depth` of `b`, and what becomes of the sums.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) b: &'a PackedB,
    pub(super) k0: usize,
    /// Sums continue what `y` holds; otherwise they start from the bias.
    pub(super) resume: bool,
    pub(super) e: Epilogue<'a>,
}

/// Output rows `ld` floats apart that start `col` floats in.
pub(super) struct Out<'a> {
    pub(super) y: &'a mut [f32],
    pub(super) ld: usize,
    pub(super) col: usize,
}

/// `y[m×n] = A · b`, or `y += A · b` where the block resumes.
pub(super) fn multiply<L: Lhs>(m: usize, a: &L, block: Block<'_>, out: &mut Out<'_>) {
    let panels = block.b.n.div_ceil(NR);
    let step = (B_BLOCK_BYTES / (NR * size_of::<f32>() * a.depth().max(1))).max(1);
    let tiles = m.div_ceil(MAX_MR);
    for start in (0..panels).step_by(step) {
        let range = start..panels.min(start + step);
        for tile in 0..tiles {
            // Nearly equal tiles: six and five rows from 20 rows on, never a lone row at the end.
            let (row, end) = (m * tile / tiles, m * (tile + 1) / tiles);
            match end - row {
                1 => sweep::<L, 1, 6>(a, row, range.clone(), block, out),
                2 => sweep::<L, 2, 3>(a, row, range.clone(), block, out),
                3 => sweep::<L, 3, 1>(a, row, range.clone(), block, out),
                4 => sweep::<L, 4, 1>(a, row, range.clone(), block, out),
                5 => sweep::<L, 5, 1>(a, row, range.clone(), block, out),
                _ => sweep::<L, MAX_MR, 1>(a, row, range.clone(), block, out),
            }
        }
    }
}

/// `MR` rows over a range of panels, `NP` panels at a time and the rest singly.
fn sweep<L: Lhs, const MR: usize, const NP: usize>(
    a: &L,
    row: usize,
    panels: Range<usize>,
    block: Block<'_>,
    out: &mut Out<'_>,
) {
    let mut panel = panels.start;
    while panel + NP <= panels.end {
        tile::<L, MR, NP>(a, row, panel, block, out);
        panel += NP;
    }
    while panel < panels.end {
        tile::<L, MR, 1>(a, row, panel, block, out);
        panel += 1;
    }
}

#[inline(never)]
fn tile<L: Lhs, const MR: usize, const NP: usize>(
    a: &L,
    row: usize,
    panel: usize,
    block: Block<'_>,
    out: &mut Out<'_>,
) {
    let n = block.b.n;
    let at = |r: usize, q: usize| (row + r) * out.ld + out.col + (panel + q) * NR;
    let cols = |q: usize| NR.min(n - (panel + q) * NR);
    let mut acc: Acc<MR, NP> = if block.resume {
        from_fn(|r| from_fn(|q| load(&out.y[at(r, q)..][..cols(q)])))
    } else if let Some(bias) = block.e.bias {
        let bias: [[F32x4; 2]; NP] =
            from_fn(|q| load(&bias[out.col + (panel + q) * NR..][..cols(q)]));
        [bias; MR]
    } else {
        [[[F32x4::splat(0.0); 2]; NP]; MR]
    };
    let depth = a.depth();
    a.accumulate(
        row,
        from_fn(|q| &block.b.panel(panel + q)[block.k0..][..depth]),
        &mut acc,
    );
    for r in 0..MR {
        for q in 0..NP {
            let at = at(r, q);
            let mut sum = acc[r][q];
            if let Some(residual) = block.e.residual {
                let x = load(&residual[at..][..cols(q)]);
                sum = [sum[0].add(x[0]), sum[1].add(x[1])];
            }
            if let Some((lo, hi)) = block.e.clamp {
                sum = sum.map(|x| x.at_least(F32x4::splat(lo)).at_most(F32x4::splat(hi)));
            }
            store(sum, &mut out.y[at..][..cols(q)]);
        }
    }
}

/// Up to eight floats, zeros behind them.
#[inline(always)]
fn load(x: &[f32]) -> [F32x4; 2] {
    match x.first_chunk::<NR>() {
        Some(x) => F32x4::load_pair(x),
        None => {
            let mut padded = [0.0; NR];
            padded[..x.len()].copy_from_slice(x);
            F32x4::load_pair(&padded)
        }
    }
}

/// The first `y.len()`, at most eight, of the lanes.
#[inline(always)]
fn store(x: [F32x4; 2], y: &mut [f32]) {
    let mut lanes = [[0.0; NR / 2]; 2];
    x[0].store(&mut lanes[0]);
    x[1].store(&mut lanes[1]);
    match y.first_chunk_mut::<NR>() {
        Some(y) => y.copy_from_slice(lanes.as_flattened()),
        None => y.copy_from_slice(&lanes.as_flattened()[..y.len()]),
    }
}
