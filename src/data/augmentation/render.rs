//! From an image and a view to a network's input.

use std::borrow::Cow;

use super::colour::Pixels;
use super::{Geometry, View};
use crate::data::image::{Image, Placement};
use crate::data::preprocessing::{ChannelOrder, Fit, Preprocessing, Size};
use crate::error::Result;

impl Preprocessing {
    /// Like [`Preprocessing::preprocess`], for one view of the image: with the plain view the same values, with flips alone the
    /// same in another order.
    pub fn preprocess_view(&self, image: Image<'_>, view: &View, out: &mut [f32]) -> Result<()> {
        let View { geometry, colour, erase } = view;
        if *view == View::default() {
            return self.preprocess(image, out);
        }
        self.check(out)?;
        let mut pixels = if geometry.only_flips() { self.placed(image)? } else { self.sampled(image, geometry)? };
        if geometry.only_flips() {
            geometry.flip(&mut pixels, self.size.width as usize);
        }
        colour.apply(&mut pixels);
        self.normalise_pixels(&pixels, out);
        for row in erase.iter().flat_map(|patch| patch.rows(self.size.width as usize)) {
            // The mean colour is 0 after normalisation.
            out.get_mut(row).into_iter().for_each(|row| row.fill(0.0));
        }
        Ok(())
    }

    /// The pixels of the plain view.
    fn placed(&self, image: Image<'_>) -> Result<Vec<Option<[f32; 3]>>> {
        let Placement { source, inner, offset } = self.placement(image.width(), image.height());
        let scaled = self.scale_part(image, source, inner)?;
        let width = self.size.width as usize;
        let mut pixels = vec![None; width * self.size.height as usize];
        let rows = scaled.buffer().as_chunks().0.chunks_exact(inner.width as usize);
        for (row, bytes) in pixels.chunks_exact_mut(width).skip(offset.1 as usize).zip(rows) {
            let row = row.iter_mut().skip(offset.0 as usize);
            row.zip(bytes).for_each(|(pixel, bytes)| *pixel = Some(rgb(*bytes)));
        }
        Ok(pixels)
    }

    /// The pixels of a view, bilinearly from the source image. That is first shrunk, with the filter of the preprocessing, along
    /// each axis by as much as the view is smaller.
    fn sampled(&self, image: Image<'_>, geometry: &Geometry) -> Result<Vec<Option<[f32; 3]>>> {
        let (width, height) = (image.width(), image.height());
        let map = geometry.inverse(self.size, &self.placement(width, height));
        let shrunk =
            |side: u32, row: &[f64; 3]| (f64::from(side) / libm::hypot(row[0], row[1]).max(1.0)).round().max(1.0);
        let size = Size { width: shrunk(width, &map[0]) as u32, height: shrunk(height, &map[1]) as u32 };
        let bytes = if (size.width, size.height) == (width, height) {
            image.opaque()
        } else {
            let whole = [0.0, 0.0, f64::from(width), f64::from(height)];
            Cow::Owned(self.scale_part(image, whole, size)?.into_vec())
        };
        let source = Source { pixels: bytes.as_chunks().0, size };
        let scale = [f64::from(size.width) / f64::from(width), f64::from(size.height) / f64::from(height)];
        let mut pixels = Vec::with_capacity(self.size.width as usize * self.size.height as usize);
        for y in 0..self.size.height {
            for x in 0..self.size.width {
                let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
                let at = |axis: usize| (map[axis][0] * x + map[axis][1] * y + map[axis][2]) * scale[axis];
                pixels.push(source.sample([at(0), at(1)], self.fit == Fit::Pad));
            }
        }
        Ok(pixels)
    }

    /// As [`Preprocessing::preprocess`] normalises bytes; what is no pixel becomes the mean colour.
    fn normalise_pixels(&self, pixels: &Pixels, out: &mut [f32]) {
        for (x, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            let Some(mut pixel) = *pixel else {
                *x = [0.0; 3];
                continue;
            };
            if self.channel_order == ChannelOrder::Bgr {
                pixel.reverse();
            }
            *x = std::array::from_fn(|c| ((f64::from(pixel[c]) * self.scale - self.mean[c]) / self.std[c]) as f32);
        }
    }
}

impl Geometry {
    fn only_flips(&self) -> bool {
        let Self { flip_horizontal, flip_vertical, .. } = *self;
        *self == Self { flip_horizontal, flip_vertical, ..Self::default() }
    }

    fn flip(&self, pixels: &mut Pixels, width: usize) {
        if self.flip_horizontal {
            pixels.chunks_exact_mut(width).for_each(<[_]>::reverse);
        }
        if self.flip_vertical {
            // Reversing all turns both axes; reversing each row turns one of them back.
            pixels.reverse();
            pixels.chunks_exact_mut(width).for_each(<[_]>::reverse);
        }
    }

    /// The map from a place in the view, in pixels, to the place in the source that is seen there: `[a, b, c]` for either axis
    /// of the source, `a·x + b·y + c`.
    fn inverse(&self, size: Size, placement: &Placement) -> [[f64; 3]; 2] {
        let Self { crop, zoom, shift, .. } = *self;
        let size = [f64::from(size.width), f64::from(size.height)];
        let (sin, cos) = libm::sincos(self.rotate.to_radians());
        let sign = |flip: bool| if flip { -1.0 } else { 1.0 };
        let turn = [
            [cos, -sin].map(|t| t * sign(self.flip_horizontal) / zoom),
            [sin, cos].map(|t| t * sign(self.flip_vertical) / zoom),
        ];
        let fixed: [f64; 2] = std::array::from_fn(|axis| size[axis] * (0.5 + shift[axis]));
        let inner = [f64::from(placement.inner.width), f64::from(placement.inner.height)];
        let offset = [f64::from(placement.offset.0), f64::from(placement.offset.1)];
        std::array::from_fn(|axis| {
            let [a, b] = turn[axis];
            let (start, share) = (crop[axis] * size[axis], crop[axis + 2]);
            let constant = size[axis] / 2.0 - a * fixed[0] - b * fixed[1];
            let scale = placement.source[axis + 2] / inner[axis];
            [
                share * a * scale,
                share * b * scale,
                placement.source[axis] + (start + share * constant - offset[axis]) * scale,
            ]
        })
    }
}

/// RGBA pixels to sample from.
struct Source<'a> {
    pixels: &'a [[u8; 4]],
    size: Size,
}

impl Source<'_> {
    /// The colour at a place in pixels, the centre of the first pixel being 0.5. Outside there is nothing, or the mirror image.
    fn sample(&self, at: [f64; 2], bounded: bool) -> Option<[f32; 3]> {
        let sides = [f64::from(self.size.width), f64::from(self.size.height)];
        if bounded && at.iter().zip(sides).any(|(x, side)| *x < 0.0 || *x >= side) {
            return None;
        }
        let [(left, right, tx), (above, below, ty)]: [(usize, usize, f32); 2] = std::array::from_fn(|axis| {
            let (side, x) = (sides[axis], at[axis]);
            let x = if (0.0..=side).contains(&x) { x } else { mirrored(x, side) } - 0.5;
            let first = x.floor();
            (first.max(0.0) as usize, (first + 1.0).min(side - 1.0) as usize, (x - first) as f32)
        });
        let [a, b] = [above, below].map(|y| lerp(self.pixel(left, y), self.pixel(right, y), tx));
        Some(lerp(a, b, ty))
    }

    fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        self.pixels.get(y * self.size.width as usize + x).map_or([0.0; 3], |pixel| rgb(*pixel))
    }
}

/// A place outside of 0..=side as seen in mirrors at both ends.
fn mirrored(x: f64, side: f64) -> f64 {
    let x = x.rem_euclid(2.0 * side);
    if x > side { 2.0 * side - x } else { x }
}

fn rgb([r, g, b, _]: [u8; 4]) -> [f32; 3] {
    [r, g, b].map(f32::from)
}

fn lerp(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * t)
}
