//! Winograd's F(4×4, 3×3) around a product of matrices: patches are transformed, multiplied with transformed filters as 36 groups of one
//! product, and transformed back. The arithmetic is that of [`regraft_kernels::winograd`].

use regraft_kernels::ConvShape;
use regraft_kernels::winograd::{TAPS, TILE, suits};

use super::{Gemm, Kernel, Tiling};

/// Fewer tiles than the rows of a tile of the product read filters that are four times as large too seldom.
const LEAST_TILES: usize = 4;
/// Most floats of transformed patches, and of products, that are held at a time.
const CHUNK: usize = 8 << 20;
/// Channels from which on the products are most of the work.
pub(crate) const WIDE: usize = 128;

/// A convolution that can be done so.
#[derive(Debug, Clone)]
pub(crate) struct Winograd<'a> {
    s: &'a ConvShape,
}

impl<'a> Winograd<'a> {
    /// `None` where the shape does not suit.
    pub(crate) fn new(s: &'a ConvShape) -> Option<Self> {
        let this = Self { s };
        (suits(s) && this.tiles() >= LEAST_TILES).then_some(this)
    }

    /// 0 with few channels, 1 with many: what is faster is timed for each.
    pub(crate) fn class(&self) -> usize {
        usize::from(self.s.c.min(self.s.m) >= WIDE)
    }

    /// Floats of the filters: `[c, 36, m]`.
    pub(crate) fn filters(&self) -> usize {
        TAPS * self.s.c * self.s.m
    }

    fn down(&self) -> usize {
        self.s.oh.div_ceil(TILE)
    }

    fn across(&self) -> usize {
        self.s.ow.div_ceil(TILE)
    }

    fn tiles(&self) -> usize {
        self.s.n * self.down() * self.across()
    }

    /// Tiles that are done at a time where so many floats can be bound: runs of them, first and count.
    pub(crate) fn chunks(&self, floats: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (tiles, most) = (self.tiles(), floats.min(CHUNK) / (TAPS * self.s.c.max(self.s.m)));
        let step = tiles.div_ceil(tiles.div_ceil(most.max(1)));
        (0..tiles).step_by(step).map(move |first| (first, step.min(tiles - first)))
    }

    /// Floats of the transformed patches of so many tiles, and of their products.
    pub(crate) fn lens(&self, tiles: usize) -> [usize; 2] {
        [self.s.c, self.s.m].map(|channels| tiles * TAPS * channels)
    }

    /// Bindings: `x`, `v`.
    pub(crate) fn input(&self, (first, tiles): (usize, usize)) -> (Kernel, usize, Vec<u32>) {
        let s = self.s;
        let sizes = [s.c, s.h, s.w, self.down(), self.across(), s.padding[0], s.padding[1], first];
        (Kernel::new(include_str!("winograd_input.wgsl")), tiles * s.c, sizes.map(|v| v as u32).to_vec())
    }

    /// Bindings: `v`, filters, products.
    pub(crate) fn product(&self, tiling: Tiling, tiles: usize) -> Gemm {
        let s = self.s;
        Gemm { groups: TAPS, x_stride: TAPS * s.c, ..Gemm::dense(tiling, tiles, s.c, s.m) }
    }

    /// Bindings: products, `b`, `r`, `y`.
    pub(crate) fn output(
        &self,
        (first, tiles): (usize, usize),
        [bias, residual]: [bool; 2],
        clamp: (f32, f32),
    ) -> (Kernel, usize, Vec<u32>) {
        let s = self.s;
        let kernel = Kernel::new(include_str!("winograd_output.wgsl"))
            .with("BIAS", f64::from(u8::from(bias)))
            .with("RESIDUAL", f64::from(u8::from(residual)))
            .with_bounds(clamp);
        let sizes = [s.m, s.oh, s.ow, self.down(), self.across(), first];
        (kernel, tiles * s.m, sizes.map(|v| v as u32).to_vec())
    }
}
