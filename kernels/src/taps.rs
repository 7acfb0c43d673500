//! Filters of depthwise convolutions in the order in which they are read.

use super::simd::LANES;

/// Filters `[kh, kw, c]` as [`super::depthwise()`] reads them: all taps of four channels, then those of the next four.
#[derive(Clone, Debug, Default)]
pub struct PackedTaps(pub(super) Vec<f32>);

impl PackedTaps {
    /// Floats that so many taps of `c` channels take.
    pub fn floats(taps: usize, c: usize) -> usize {
        taps * c.next_multiple_of(LANES)
    }

    /// Packs `[kh, kw, c]` row-major.
    pub fn pack(c: usize, w: &[f32]) -> Self {
        let mut packed = Self::default();
        packed.repack(c, w);
        packed
    }

    /// [`PackedTaps::pack`] into the memory already held.
    pub fn repack(&mut self, c: usize, w: &[f32]) {
        let taps = w.chunks_exact(c.max(1));
        self.0.resize(Self::floats(taps.len(), c), 0.0);
        pack_taps(taps, &mut self.0);
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<f32>()
    }
}

/// Packs taps in their order; channels that fill up the last quad keep the zeros of `packed`.
pub(super) fn pack_taps<'a>(taps: impl ExactSizeIterator<Item = &'a [f32]>, packed: &mut [f32]) {
    let count = taps.len();
    for (t, tap) in taps.enumerate() {
        for (q, channels) in tap.chunks(LANES).enumerate() {
            packed[(q * count + t) * LANES..][..channels.len()].copy_from_slice(channels);
        }
    }
}
