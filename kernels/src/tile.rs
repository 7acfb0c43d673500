//! The register-tiled product under every dense kernel: `MR` rows of A times panels of eight columns of B.
//!
//! Every output element is one chain of `acc + a·b` over k in ascending order,
//! whatever the tile, so tiling cannot change a result.

#![expect(
    clippy::needless_range_loop,
    reason = "ranges of constants are unrolled, iterators over arrays not always, and then sums leave their registers"
)]

use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::elementwise::copy;
use super::gemm::{Epilogue, Panels};
use super::lhs::{Acc, Lhs};
use super::simd::{F32x4, unrolled};

/// Columns in a panel of B.
pub(super) const NR: usize = 8;
/// Rows in the largest tile. With FMA, 12 accumulators, two B vectors and one A value fill the 15 registers V8 hands
/// out; a product that is added later needs one more.
pub(super) const MAX_MR: usize = if cfg!(target_feature = "relaxed-simd") { 6 } else { 5 };
/// Rows in the tiles that are used.
static ROWS: AtomicUsize = AtomicUsize::new(MAX_MR);
/// Bytes of B that one sweep over the rows of A may touch, so that they stay in the second-level cache.
const B_BLOCK_BYTES: usize = 768 << 10;
/// Longest k range of one pass: the rows of a tile of A then stay in the first-level cache beside the panels of B that go through it.
pub(super) const K_BLOCK: usize = 256;

/// Has tiles of at most `rows` rows, for compilers that run out of registers before: no bit of a result depends on it.
pub fn limit_tile_rows(rows: usize) {
    ROWS.store(rows.clamp(1, MAX_MR), Ordering::Relaxed);
}

/// Rows of the right operand, and what the sums start from and end with.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) b: Panels<'a>,
    /// Sums continue what `y` holds; otherwise they start from bias and residual.
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
pub(super) fn multiply<L: Lhs>(m: usize, a: &mut L, block: Block<'_>, out: &mut Out<'_>) {
    let panels = block.b.n.div_ceil(NR);
    let step = (B_BLOCK_BYTES / (NR * size_of::<f32>() * a.depth().max(1))).max(1);
    let tiles = m.div_ceil(ROWS.load(Ordering::Relaxed));
    for start in (0..panels).step_by(step) {
        let range = start..panels.min(start + step);
        for tile in 0..tiles {
            // Nearly equal tiles: six and five rows from 20 rows on, never a lone row at the end.
            let (row, end) = (m * tile / tiles, m * (tile + 1) / tiles);
            match end - row {
                1 => sweep::<L, 1, 6>(a, row, range.clone(), block, out),
                2 => sweep::<L, 2, 2>(a, row, range.clone(), block, out),
                3 => sweep::<L, 3, 1>(a, row, range.clone(), block, out),
                4 => sweep::<L, 4, 1>(a, row, range.clone(), block, out),
                5 => sweep::<L, 5, 1>(a, row, range.clone(), block, out),
                _ => sweep::<L, MAX_MR, 1>(a, row, range.clone(), block, out),
            }
        }
    }
}

/// `MR` rows over a range of panels, `NP` panels at a time and the rest singly.
#[inline(never)]
fn sweep<L: Lhs, const MR: usize, const NP: usize>(
    a: &mut L,
    row: usize,
    mut panels: Range<usize>,
    block: Block<'_>,
    out: &mut Out<'_>,
) {
    let rows = a.rows::<MR>(row);
    let whole = panels.end.min(block.b.n / NR);
    while NP > 1 && panels.start + NP <= whole {
        whole_tile::<L, MR, NP>(&rows, row, panels.start, block, out);
        panels.start += NP;
    }
    for panel in panels.start..whole {
        whole_tile::<L, MR, 1>(&rows, row, panel, block, out);
    }
    if whole < panels.end {
        narrow_tile::<L, MR>(&rows, row, whole, block, out);
    }
}

/// A tile with all its columns.
#[inline(always)]
fn whole_tile<L: Lhs, const MR: usize, const NP: usize>(
    rows: &L::Rows<'_, MR>,
    row: usize,
    panel: usize,
    block: Block<'_>,
    out: &mut Out<'_>,
) {
    let column = out.col + panel * NR;
    let first = row * out.ld + column;
    let mut acc: Acc<MR, NP> = match block.e.bias {
        Some(bias) if !block.resume => [panels(&bias[column..]); MR],
        _ => [[[F32x4::ZERO; 2]; NP]; MR],
    };
    if let Some(x) = if block.resume { Some(&*out.y) } else { block.e.residual } {
        let x = &x[first..];
        for r in 0..MR {
            acc[r] = sum(acc[r], panels(&x[r * out.ld..]));
        }
    }
    let b = unrolled(&[] as &[_], |q| block.b.panel(panel + q));
    let acc = clamped(L::accumulate(rows, b, acc), block.e.clamp);
    // With unchecked stores Firefox keeps the sums of simd128 builds in memory: 1.4 times a network's time.
    let y = &mut out.y[first..];
    for (r, acc) in acc.iter().enumerate() {
        let y = y[r * out.ld..][..NP * NR].as_chunks_mut::<NR>().0;
        for q in 0..NP {
            F32x4::store_pair(acc[q], &mut y[q]);
        }
    }
}

/// A tile of fewer than eight columns.
#[inline(never)]
fn narrow_tile<L: Lhs, const MR: usize>(
    rows: &L::Rows<'_, MR>,
    row: usize,
    panel: usize,
    block: Block<'_>,
    out: &mut Out<'_>,
) {
    let column = out.col + panel * NR;
    let cols = block.b.n - panel * NR;
    let line = |r: usize| (row + r) * out.ld + column..(row + r) * out.ld + column + cols;
    let mut acc: Acc<MR, 1> = match block.e.bias {
        Some(bias) if !block.resume => [widened(&bias[column..][..cols]); MR],
        _ => [[[F32x4::ZERO; 2]; 1]; MR],
    };
    if let Some(x) = if block.resume { Some(&*out.y) } else { block.e.residual } {
        for r in 0..MR {
            acc[r] = sum(acc[r], widened(&x[line(r)]));
        }
    }
    let b = [block.b.panel(panel)];
    let acc = clamped(L::accumulate(rows, b, acc), block.e.clamp);
    for (r, acc) in acc.iter().enumerate() {
        let mut y = [0.0; NR];
        F32x4::store_pair(acc[0], &mut y);
        copy(&y[..cols], &mut out.y[line(r)]);
    }
}

/// The first `NP` panels of a row.
#[inline(always)]
fn panels<const NP: usize>(x: &[f32]) -> [[F32x4; 2]; NP] {
    let x = x[..NP * NR].as_chunks::<NR>().0;
    unrolled([F32x4::ZERO; 2], |q| F32x4::load_pair(&x[q]))
}

/// Fewer columns than a panel has, and zeros.
#[inline(always)]
fn widened(x: &[f32]) -> [[F32x4; 2]; 1] {
    let mut wide = [0.0; NR];
    copy(x, &mut wide);
    [F32x4::load_pair(&wide)]
}

#[inline(always)]
fn sum<const NP: usize>(a: [[F32x4; 2]; NP], b: [[F32x4; 2]; NP]) -> [[F32x4; 2]; NP] {
    unrolled([F32x4::ZERO; 2], |q| [a[q][0].add(b[q][0]), a[q][1].add(b[q][1])])
}

#[inline(always)]
fn clamped<const MR: usize, const NP: usize>(mut acc: Acc<MR, NP>, bounds: Option<(f32, f32)>) -> Acc<MR, NP> {
    if let Some((lo, hi)) = bounds {
        let (lo, hi) = (F32x4::splat(lo), F32x4::splat(hi));
        // By index: an iterator over all pairs stays a loop, for which all sums go through memory.
        for r in 0..MR {
            for q in 0..NP {
                acc[r][q] = [acc[r][q][0].at_least(lo).at_most(hi), acc[r][q][1].at_least(lo).at_most(hi)];
            }
        }
    }
    acc
}

#[cfg(test)]
mod tests {
    use super::super::gemm::{PackedB, gemm};
    use super::super::testing::Rng;
    use super::*;

    #[test]
    fn tiles_of_any_height_give_the_same_bits() {
        let (m, k, n) = (23, 37, 29);
        let mut rng = Rng::new(1);
        let (a, b) = (rng.fill(m * k), PackedB::pack(k, n, &rng.fill(k * n)));
        let product = |rows| {
            limit_tile_rows(rows);
            let mut y = vec![f32::NAN; m * n];
            gemm(m, &a, &b, &mut y, Epilogue::default());
            y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let usual = product(MAX_MR);
        for rows in [0, 1, 2, 3, 4, 5, 7, MAX_MR] {
            assert!(product(rows) == usual, "{rows} rows");
        }
    }
}
