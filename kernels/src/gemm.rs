//! Matrix products on packed right-hand sides.

use core::ops::Range;

use super::lhs::{Columns, Plain, Walk};
use super::parallel::{Items, split, with_scratch};
use super::scratch::Scratch;
use super::tile::{Block, K_BLOCK, NR, Out, multiply};

/// The right operand of `m×k · k×n`, in blocks of its rows, each in panels `[ceil(n/8)][rows][8]`, zero-filled.
///
/// A product goes through block after block. What it reads lies in the order in which it is read, so that weights arrive from
/// memory before they are needed: where an image has few pixels, that is worth a sixth of a product's time.
#[derive(Clone, Debug, Default)]
pub struct PackedB {
    /// Rows.
    pub k: usize,
    /// Columns.
    pub n: usize,
    blocks: usize,
    data: Vec<f32>,
}

/// A block of a [`PackedB`], or some of its rows.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    /// Columns.
    pub(super) n: usize,
    /// Rows in a panel, of which `rows` are meant.
    pitch: usize,
    rows: (usize, usize),
    data: &'a [[f32; NR]],
}

impl<'a> Panels<'a> {
    /// The rows of panel `p`.
    #[inline(always)]
    pub(super) fn panel(&self, p: usize) -> &'a [[f32; NR]] {
        &self.data[p * self.pitch..][..self.pitch][self.rows.0..self.rows.1]
    }

    /// Rows `rows` of them.
    pub(super) fn of(self, rows: Range<usize>) -> Self {
        Self { rows: (rows.start, rows.end), ..self }
    }
}

impl PackedB {
    /// Packs `k×n` row-major.
    pub fn pack(k: usize, n: usize, b: &[f32]) -> Self {
        let mut packed = Self::default();
        packed.repack(k, n, b);
        packed
    }

    /// Panels of `k×n` zeros.
    pub(super) fn zeroed(k: usize, n: usize) -> Self {
        Self { k, n, blocks: blocks(k), data: vec![0.0; Self::len(k, n)] }
    }

    /// Sets row `p` of the matrix.
    pub(super) fn set_row(&mut self, p: usize, row: impl Iterator<Item = f32>) {
        let Some(ks) = self.ranges().find(|ks| ks.contains(&p)) else { return };
        let first = ks.start * self.n.next_multiple_of(NR);
        for (j, x) in row.take(self.n).enumerate() {
            self.data[first + (j / NR * ks.len() + p - ks.start) * NR + j % NR] = x;
        }
    }

    /// [`PackedB::pack`] into the memory already held.
    pub fn repack(&mut self, k: usize, n: usize, b: &[f32]) {
        debug_assert_eq!(b.len(), k * n);
        self.repack_strided(k, n, b, n, blocks(k));
    }

    /// Packs rows of `n` floats that start `ld` floats apart, in so many blocks.
    pub(super) fn repack_strided(&mut self, k: usize, n: usize, b: &[f32], ld: usize, blocks: usize) {
        self.reset(k, n, blocks);
        for (ks, panels) in self.blocks_mut() {
            let rows = &b[(ks.start * ld).min(b.len())..];
            for (p, panel) in panels.chunks_exact_mut(ks.len() * NR).enumerate() {
                let cols = NR.min(n - p * NR);
                for (row, b) in panel.as_chunks_mut::<NR>().0.iter_mut().zip(rows.chunks(ld)) {
                    let b = &b[p * NR..][..cols];
                    match b.first_chunk() {
                        Some(b) => *row = *b,
                        None => row[..cols].copy_from_slice(b),
                    }
                }
            }
        }
    }

    /// Packs the transpose of `n×k` row-major into the memory already held.
    pub fn repack_transposed(&mut self, k: usize, n: usize, bt: &[f32]) {
        debug_assert_eq!(bt.len(), k * n);
        self.repack_transposed_strided(k, n, bt, k);
    }

    /// Packs columns of `k` floats that start `ld` floats apart.
    pub(super) fn repack_transposed_strided(&mut self, k: usize, n: usize, bt: &[f32], ld: usize) {
        self.reset(k, n, blocks(k));
        for (ks, panels) in self.blocks_mut() {
            for (panel, columns) in panels.chunks_exact_mut(ks.len() * NR).zip(bt.chunks(ld * NR)) {
                for (j, column) in columns.chunks(ld).enumerate() {
                    for (row, &x) in panel.as_chunks_mut::<NR>().0.iter_mut().zip(&column[ks.start.min(column.len())..])
                    {
                        row[j] = x;
                    }
                }
            }
        }
    }

    /// Sizes the panels; the unused columns of the last one of each block are zeroed.
    fn reset(&mut self, k: usize, n: usize, blocks: usize) {
        (self.k, self.n, self.blocks) = (k, n, blocks);
        self.data.resize(Self::len(k, n), 0.0);
        if !n.is_multiple_of(NR) {
            for (ks, panels) in self.blocks_mut() {
                let last = panels.len() - ks.len() * NR;
                panels[last..].fill(0.0);
            }
        }
    }

    /// Rows of the blocks, in order: nearly equal numbers of them, one range of none for `k` 0.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        ranges(self.k, self.blocks)
    }

    /// The blocks that have rows, with their panels.
    fn blocks_mut(&mut self) -> impl Iterator<Item = (Range<usize>, &mut [f32])> {
        let (columns, ranges) = (self.n.next_multiple_of(NR), self.ranges());
        let mut rest = self.data.as_mut_slice();
        ranges.filter(|ks| !ks.is_empty()).map(move |ks| {
            let (block, after) = core::mem::take(&mut rest).split_at_mut(ks.len() * columns);
            rest = after;
            (ks, block)
        })
    }

    /// The block of these rows, which are one of [`PackedB::ranges`].
    pub(super) fn block(&self, ks: Range<usize>) -> Panels<'_> {
        let panels = self.n.div_ceil(NR);
        let data = &self.data.as_chunks().0[ks.start * panels..ks.end * panels];
        Panels { n: self.n, pitch: ks.len(), rows: (0, ks.len()), data }
    }

    /// Floats that panels of `k×n` take.
    pub fn len(k: usize, n: usize) -> usize {
        n.next_multiple_of(NR) * k
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.data.capacity() * size_of::<f32>()
    }

    /// Panels in borrowed memory; [`PackedB::release`] gives it back.
    pub(super) fn borrow(scratch: &mut Scratch, k: usize, n: usize) -> Self {
        Self { k, n, blocks: blocks(k), data: scratch.take(Self::len(k, n)) }
    }

    pub(super) fn release(self, scratch: &mut Scratch) {
        scratch.give(self.data);
    }
}

/// How many blocks `k` rows are packed in.
fn blocks(k: usize) -> usize {
    k.div_ceil(K_BLOCK).max(1)
}

/// `0..k` in so many ranges of nearly equal length.
fn ranges(k: usize, blocks: usize) -> impl Iterator<Item = Range<usize>> {
    (0..blocks).map(move |i| k * i / blocks..k * (i + 1) / blocks)
}

/// What is done to a sum before it is stored: `y = clamp(sum + bias + residual)`.
#[derive(Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One value per output column.
    pub bias: Option<&'a [f32]>,
    /// Same layout as the output.
    pub residual: Option<&'a [f32]>,
    /// Lower and upper bound; NaN passes.
    pub clamp: Option<(f32, f32)>,
}

/// `y[m×n] = a[m×k] · b`, all row-major.
pub fn gemm(m: usize, a: &[f32], b: &PackedB, y: &mut [f32], e: Epilogue<'_>) {
    debug_assert!(a.len() == m * b.k && y.len() == m * b.n);
    multiply_rows(m, a, b.k, b, e, &mut Out { y, ld: b.n, col: 0 });
}

/// `y = a · b` with rows of `a` that start `step` floats apart.
pub(super) fn multiply_rows(m: usize, x: &[f32], step: usize, b: &PackedB, e: Epilogue<'_>, out: &mut Out<'_>) {
    let (ld, col) = (out.ld, out.col);
    split(m, b.k * b.n, Items(out.y, ld), |rows, Items(y, _)| {
        let (e, out) = (e.behind(rows.start * ld), &mut Out { y, ld, col });
        for ks in b.ranges() {
            let mut a = Plain { x, base: rows.start * step + ks.start, step, len: ks.len() };
            let (resume, e) = (ks.start > 0, e.at_block(ks.end == b.k));
            let block = Block { b: b.block(ks), resume, e };
            multiply(rows.len(), &mut a, block, out);
        }
    });
}

impl<'a> Epilogue<'a> {
    /// For the outputs behind the first `len`, which are whole rows.
    pub(super) fn behind(self, len: usize) -> Self {
        Self { residual: self.residual.map(|residual| &residual[len..]), ..self }
    }

    /// The part for the last of several blocks of k, or for one before: bias and residual only start the first.
    pub(super) fn at_block(self, last: bool) -> Self {
        if last { self } else { Self { clamp: None, ..self } }
    }
}

/// Sizes and orientation of [`matmul`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMulDims {
    /// Rows of the product.
    pub m: usize,
    /// Terms of its sums.
    pub k: usize,
    /// Columns of the product.
    pub n: usize,
    /// `a` is stored `k×m`.
    pub trans_a: bool,
    /// `b` is stored `n×k`.
    pub trans_b: bool,
}

/// `y[m×n] = op(a) · op(b)`, or `y += …`, all row-major.
pub fn matmul(dims: MatMulDims, a: &[f32], b: &[f32], y: &mut [f32], accumulate: bool, scratch: &mut Scratch) {
    let MatMulDims { m, k, n, trans_a, trans_b } = dims;
    debug_assert!(a.len() == m * k && b.len() == k * n && y.len() == m * n);
    let mut packed = PackedB::borrow(scratch, k, n);
    if trans_b {
        packed.repack_transposed(k, n, b);
    } else {
        packed.repack(k, n, b);
    }
    split(m, k * n, Items(y, n), |rows, Items(y, _)| {
        with_scratch(|scratch| {
            let mut buffer = scratch.take(if trans_a { Columns::buffer_len(k.min(K_BLOCK)) } else { 0 });
            for ks in packed.ranges() {
                let resume = accumulate || ks.start > 0;
                let block = Block { b: packed.block(ks.clone()), resume, e: Epilogue::default() };
                let out = &mut Out { y, ld: n, col: 0 };
                if trans_a {
                    let walk = Walk { outer: 1, outer_step: 0, inner: ks.len(), inner_step: m };
                    let x = &a[ks.start * m + rows.start..];
                    let mut a = Columns { x, images: 1, image_step: 0, walk, buffer: &mut buffer };
                    multiply(rows.len(), &mut a, block, out);
                } else {
                    let mut a = Plain { x: a, base: rows.start * k + ks.start, step: k, len: ks.len() };
                    multiply(rows.len(), &mut a, block, out);
                }
            }
            scratch.give(buffer);
        });
    });
    packed.release(scratch);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close, product};
    use super::*;

    /// Rounding of a few thousand f32 additions of values around 1.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn gemm_agrees_with_f64_over_all_tails() {
        let mut rng = Rng::new(1);
        for m in [1, 2, 3, 4, 5, 6, 7, 11, 19, 49] {
            for (k, n) in [(1, 1), (3, 8), (17, 5), (24, 48), (5, 71), (31, 13)] {
                check_gemm(&mut rng, m, k, n);
            }
        }
        for (m, k, n) in [(1, 2000, 9), (7, 1600, 8), (13, 900, 300)] {
            check_gemm(&mut rng, m, k, n);
        }
    }

    fn check_gemm(rng: &mut Rng, m: usize, k: usize, n: usize) {
        let (a, b) = (rng.fill(m * k), rng.fill(k * n));
        let (bias, residual) = (rng.fill(n), rng.fill(m * n));
        let mut y = vec![f32::NAN; m * n];
        let mut expected = product(m, k, n, |i, p| a[i * k + p], |p, j| b[p * n + j]);
        let packed = PackedB::pack(k, n, &b);
        gemm(m, &a, &packed, &mut y, Epilogue::default());
        assert_close(&y, &expected, TOLERANCE * k as f64, &format!("{m}×{k}·{k}×{n}"));
        let e = Epilogue { bias: Some(&bias), residual: Some(&residual), clamp: Some((-0.5, 0.75)) };
        gemm(m, &a, &packed, &mut y, e);
        for (i, x) in expected.iter_mut().enumerate() {
            *x = (*x + f64::from(bias[i % n]) + f64::from(residual[i])).clamp(-0.5, 0.75);
        }
        assert_close(&y, &expected, TOLERANCE * k as f64, &format!("{m}×{k}·{k}×{n} with epilogue"));
    }

    #[test]
    fn a_row_is_the_same_alone_and_in_a_batch() {
        let mut rng = Rng::new(2);
        for (m, k, n) in [(23, 37, 29), (9, 1700, 64), (2, 5, 50)] {
            let (a, b) = (rng.fill(m * k), PackedB::pack(k, n, &rng.fill(k * n)));
            let mut y = vec![0.0; m * n];
            gemm(m, &a, &b, &mut y, Epilogue::default());
            for i in 0..m {
                let mut row = vec![0.0; n];
                gemm(1, &a[i * k..][..k], &b, &mut row, Epilogue::default());
                assert_eq!(row, y[i * n..][..n], "row {i} of {m}×{k}·{k}×{n}");
            }
        }
    }

    #[test]
    fn matmul_agrees_in_every_orientation() {
        let mut rng = Rng::new(3);
        let mut scratch = Scratch::default();
        for (m, k, n) in [(1, 1, 1), (7, 32, 13), (50, 9, 21), (5, 1999, 8), (2, 3, 17), (3, 0, 2)] {
            for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
                let (a, b) = (rng.fill(m * k), rng.fill(k * n));
                let a_at = |i, p| if trans_a { a[p * m + i] } else { a[i * k + p] };
                let b_at = |p, j| if trans_b { b[j * k + p] } else { b[p * n + j] };
                let mut expected = product(m, k, n, a_at, b_at);
                let dims = MatMulDims { m, k, n, trans_a, trans_b };
                let mut y = vec![f32::NAN; m * n];
                matmul(dims, &a, &b, &mut y, false, &mut scratch);
                assert_close(&y, &expected, TOLERANCE * (k + 1) as f64, &format!("{dims:?}"));
                matmul(dims, &a, &b, &mut y, true, &mut scratch);
                expected.iter_mut().for_each(|x| *x *= 2.0);
                assert_close(&y, &expected, TOLERANCE * (k + 1) as f64, &format!("{dims:?}, twice"));
            }
        }
    }

    #[test]
    fn packing_reuses_memory_and_zeroes_the_tail() {
        let mut b = PackedB::pack(4, 16, &[1.0; 64]);
        let bytes = b.bytes();
        b.repack(4, 9, &[2.0; 36]);
        assert_eq!(b.bytes(), bytes);
        assert!(b.block(0..4).panel(1).iter().all(|row| *row == [2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        b.repack_transposed(4, 9, &[3.0; 36]);
        assert!(b.block(0..4).panel(1).iter().all(|row| *row == [3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
    }

    #[test]
    fn nan_passes_the_clamp() {
        let mut y = [0.0; 8];
        let b = PackedB::pack(1, 8, &[f32::NAN; 8]);
        gemm(1, &[1.0], &b, &mut y, Epilogue { clamp: Some((0.0, 6.0)), ..Epilogue::default() });
        assert!(y.iter().all(|x| x.is_nan()));
    }
}
