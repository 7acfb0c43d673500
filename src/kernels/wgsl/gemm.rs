//! Products of matrices in register tiles: dense layers, and convolutions as implicit GEMM.
//!
//! Each invocation keeps a tile of `rows × 4·columns` sums in registers. The text is written out for the tile, since loops over
//! private arrays are up to three times slower and arrays sized by overrides are rejected. Where there are few tiles, invocations of
//! a workgroup share the columns of the left matrix, and add up what they have in the end. Where there are many and a device is faster
//! so, a workgroup reads what all of its tiles need into memory that it shares.

mod shared;
mod text;

use super::tile::{Tile, Tiles, Tiling, WindowSizes, takes_sixteen};
use super::{Kernel, WORKGROUP, Work};

/// Most invocations that share a tile.
const SLICES: u64 = 16;
/// Steps along `k` that are worth an invocation of their own.
const STEPS: u64 = 4;
/// Most products of vectors that are written out, as many as a turn of the loop has in the largest tile. A loop costs as much as some of
/// them, but more text takes long to compile: a thousand, two seconds on a software adapter.
const WRITTEN_OUT: usize = 128;
/// Rows and columns of the tile of a workgroup, of which each invocation has 8×8.
const BLOCK: u32 = 64;

/// Which way a window leads from rows of `y` to rows of `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// `x` is the image: a convolution.
    Forward,
    /// `y` is the image, `x` the gradient of what the convolution made of it.
    Backward,
}

/// `y = clamp(x·w + b + r)`: `x` of `rows × groups·k`, `w` of `taps·k × groups·n`, `y` of `rows × groups·n`; without a window there
/// is one tap. Bindings: `x`, `w`, factors of the columns of `w` if `halves`, `b` if `bias`, `r` if `residual`, `m` if `mask`, `y`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gemm {
    pub(crate) rows: usize,
    /// Columns of `x` that a group sees.
    pub(crate) k: usize,
    /// Columns of `y` in a group.
    pub(crate) n: usize,
    pub(crate) groups: usize,
    /// Columns of `x` in memory, and the first that is read.
    pub(crate) x_stride: usize,
    pub(crate) x_first: usize,
    /// Taps that each row of `y` is summed up from; `h` and `w` are those of `x`, `oh` and `ow` those of `y`.
    pub(crate) window: Option<(WindowSizes, Direction)>,
    /// `w` is stored as `taps·n × groups·k`.
    pub(crate) transposed: bool,
    /// `w` is stored as 16-bit floats.
    pub(crate) halves: bool,
    pub(crate) bias: bool,
    pub(crate) residual: bool,
    /// Adds to what `y` holds.
    pub(crate) accumulate: bool,
    pub(crate) clamp: Option<(f32, f32)>,
    /// The result is 0 but where `m`, of its shape, lies between these.
    pub(crate) mask: Option<(f32, f32)>,
    pub(crate) tiling: Tiling,
}

impl Gemm {
    /// A plain product; fields that differ are set by the caller.
    pub(crate) fn dense(tiling: Tiling, rows: usize, k: usize, n: usize) -> Self {
        let (groups, x_stride, x_first, window, transposed, halves) = (1, k, 0, None, false, false);
        let (bias, residual, accumulate, clamp, mask) = (false, false, false, None, None);
        Self {
            rows,
            k,
            n,
            groups,
            x_stride,
            x_first,
            window,
            transposed,
            halves,
            bias,
            residual,
            accumulate,
            clamp,
            mask,
            tiling,
        }
    }

    /// Whether `x` can be read four columns at a time.
    fn wide_x(&self) -> bool {
        self.k.is_multiple_of(4) && self.x_stride.is_multiple_of(4) && self.x_first.is_multiple_of(4)
    }

    /// Whether columns of `w`, `b`, `r` and `y` can be read four at a time.
    fn wide_y(&self) -> bool {
        self.n.is_multiple_of(4)
    }

    /// Whether `w` may be 16-bit floats: they are read four at a time.
    pub(crate) fn takes_halves(&self) -> bool {
        self.wide_y() && !self.transposed
    }

    /// The largest tile that leaves no lane of the device without one, as far as such tiles are faster.
    fn tile(&self) -> Tile {
        let (rows, columns, lanes) = (self.rows as u64, self.n as u64, self.tiling.lanes);
        let groups = self.groups as u64;
        let fills =
            |height: u64, width: u64| columns > 4 && rows.div_ceil(height) * columns.div_ceil(width) * groups >= lanes;
        let fastest = self.tiling.fastest((self.k * self.taps()) as u64);
        match () {
            () if fastest == Tiles::EightBySixteen && rows > 4 && takes_sixteen(columns) && fills(8, 16) => {
                Tile { rows: 8, columns: 4, shared: false }
            }
            () if fastest != Tiles::FourByEight && rows > 4 && fills(8, 8) => {
                // Half of a workgroup's tile would be waste otherwise.
                let fits = rows > u64::from(BLOCK) / 2 && columns > u64::from(BLOCK) / 2;
                let whole = self.wide_x() && self.wide_y() && !self.transposed;
                Tile { rows: 8, columns: 2, shared: fastest == Tiles::Workgroup && fits && whole }
            }
            () if fills(4, 8) => Tile { rows: 4, columns: 2, shared: false },
            () => Tile { rows: 4, columns: 1, shared: false },
        }
    }

    fn taps(&self) -> usize {
        self.window.as_ref().map_or(1, |(s, _)| s.kernel[0] * s.kernel[1])
    }

    /// Steps along `k`: of four columns of `x`, where they can be read at a time.
    fn steps(&self) -> usize {
        if self.wide_x() { self.k / 4 } else { self.k }
    }

    /// Whether the text has no loop over so many terms.
    fn writes_out(&self, terms: usize) -> bool {
        let Tile { rows, columns, shared } = self.tile();
        terms * (rows * columns) as usize <= WRITTEN_OUT && !shared && self.slices() == 1
    }

    /// Invocations that share a tile: as many as fill the GPU and still have some columns each.
    fn slices(&self) -> u32 {
        if self.tile().shared {
            return 1;
        }
        let most = (self.tiling.lanes / self.tiles().max(1)).min(self.steps() as u64 / STEPS).clamp(1, SLICES);
        1 << most.ilog2()
    }

    /// Tiles of a workgroup; a tile that it shares is one.
    fn tiles_at_once(&self) -> u32 {
        if self.tile().shared { 1 } else { WORKGROUP / self.slices() }
    }

    /// Workgroups of [`WORKGROUP`] invocations.
    pub(crate) fn workgroups(&self) -> u64 {
        self.tiles().div_ceil(u64::from(self.tiles_at_once()))
    }

    /// Rows and columns of a tile, or of what a workgroup shares.
    fn extent(&self) -> [u64; 2] {
        let tile = self.tile();
        if tile.shared { [u64::from(BLOCK); 2] } else { [u64::from(tile.rows), 4 * u64::from(tile.columns)] }
    }

    /// Whether no tile has columns beyond the last.
    fn is_whole(&self) -> bool {
        (self.n as u64).is_multiple_of(self.extent()[1])
    }

    fn column_tiles(&self) -> u64 {
        (self.n as u64).div_ceil(self.extent()[1])
    }

    fn tiles(&self) -> u64 {
        (self.rows as u64).div_ceil(self.extent()[0]) * self.column_tiles() * self.groups as u64
    }

    /// Each step along `k` loads a column of the tile's rows and a row of its columns.
    pub(crate) fn work(&self) -> Work {
        let steps = (self.k * self.taps()) as u64;
        let loads = steps * self.tiles() * self.extent().iter().sum::<u64>();
        Work { macs: steps * (self.rows * self.n * self.groups) as u64, loads }
    }

    /// Words of `Params` after `first` and `width`.
    pub(crate) fn params(&self) -> Vec<u32> {
        let unit = if self.wide_x() { 4 } else { 1 };
        let mut words = vec![
            self.tiles() as u32,
            self.column_tiles() as u32,
            self.rows as u32,
            (self.k / unit) as u32,
            self.n as u32,
            self.groups as u32,
            (self.x_stride / unit) as u32,
            (self.x_first / unit) as u32,
        ];
        if let Some((s, _)) = &self.window {
            words.extend(s.words());
        }
        words
    }

    /// The shader.
    pub(crate) fn kernel(&self) -> Kernel {
        let kernel = Kernel::new(self.text());
        match self.clamp.or(self.mask) {
            Some(bounds) => kernel.with_bounds(bounds),
            None => kernel,
        }
    }
}
