use std::borrow::Cow;

use fast_image_resize::images::{Image as Buffer, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use regraft_kernels as kernels;

use super::preprocessing::{ChannelOrder, Fit, Preprocessing, Resample, Size};
use crate::error::{Error, Result};

/// Longest side of an image that is taken.
const MAX_SIDE: u32 = 32_767;

/// Share of a pixel by which `size / cropFraction` may miss an integer and still be taken for it, so that a fraction
/// that was itself a quotient (240 / 255) gives back its divisor.
const SIZE_SLACK: f64 = 1e-6;

/// Decoded pixels, 8 bits a channel, interleaved, row by row without padding.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    data: &'a [u8],
    width: u32,
    height: u32,
    channels: u8,
}

impl<'a> Image<'a> {
    /// `channels` is 1 (grey), 3 (RGB) or 4 (RGBA, alpha not premultiplied). [`Error::BadImage`] for another number,
    /// for sides outside 1..=32767 and for data of another length than `width * height * channels`.
    pub fn new(data: &'a [u8], width: u32, height: u32, channels: u8) -> Result<Self> {
        let bad = |reason| Err(Error::BadImage { reason });
        if ![1, 3, 4].contains(&channels) {
            return bad(format!("it has {channels} channels, not 1, 3 or 4"));
        }
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) {
            return bad(format!("sides are 1 to {MAX_SIDE} pixels, not {width}×{height}"));
        }
        let needed = u64::from(width) * u64::from(height) * u64::from(channels);
        if data.len() as u64 != needed {
            let length = data.len();
            return bad(format!("{width}×{height}×{channels} needs {needed} bytes, not {length}"));
        }
        Ok(Self { data, width, height, channels })
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// As RGBA without transparency: what shows when the image lies on white.
    pub(super) fn opaque(&self) -> Cow<'a, [u8]> {
        Cow::Owned(match self.channels {
            1 => self.data.iter().flat_map(|&grey| [grey, grey, grey, u8::MAX]).collect(),
            3 => self.data.as_chunks().0.iter().flat_map(|&[r, g, b]| [r, g, b, u8::MAX]).collect(),
            _ if kernels::is_opaque(self.data.as_chunks().0) => return Cow::Borrowed(self.data),
            _ => self.data.as_chunks().0.iter().flat_map(|pixel| over_white(*pixel)).collect(),
        })
    }
}

/// The pixel composited on white, bit-equal to Pillow's `alpha_composite` (AlphaComposite.c, integer with 7 extra bits).
fn over_white([r, g, b, alpha]: [u8; 4]) -> [u8; 4] {
    let alpha = u32::from(alpha);
    let blend = |channel: u8| {
        let sum = (u32::from(channel) * alpha + 255 * (255 - alpha)) << 7;
        let rounded = sum + (0x80 << 7);
        ((((rounded >> 8) + rounded) >> 8) >> 7) as u8
    };
    [blend(r), blend(g), blend(b), u8::MAX]
}

/// Which part of a source goes where.
pub(super) struct Placement {
    /// Left, top, width and height in source pixels.
    pub(super) source: [f64; 4],
    /// What that part is scaled to.
    pub(super) inner: Size,
    /// Where its top left corner lies in the result.
    pub(super) offset: (u32, u32),
}

impl Preprocessing {
    /// Writes the normalised image to `out`, `height × width × 3` values, row-major.
    ///
    /// Sizes, crop and filters are those of torchvision's `Resize(size / cropFraction)` and `CenterCrop(size)` on Pillow
    /// images, and of Pillow's `ImageOps.pad`; before they are normalised, bytes differ from Pillow's by at most 1 (area:
    /// 2). Only the part that the crop keeps is scaled. Transparent pixels are composited on white before that.
    ///
    /// [`Error::Internal`] where `out` has another length.
    pub fn preprocess(&self, image: Image<'_>, out: &mut [f32]) -> Result<()> {
        self.check(out)?;
        let placement = self.placement(image.width, image.height);
        let scaled = self.scale_part(image, placement.source, placement.inner)?;
        self.normalise(&scaled, &placement, out);
        Ok(())
    }

    /// Values of a preprocessed image.
    #[expect(clippy::len_without_is_empty, reason = "no image is empty")]
    pub fn len(&self) -> usize {
        self.size.width as usize * self.size.height as usize * 3
    }

    /// This is valid and `out` as long as the result.
    pub(super) fn check(&self, out: &[f32]) -> Result<()> {
        self.validate()?;
        let needed = self.len();
        if out.len() != needed {
            return Err(Error::internal(format!("{needed} values into a buffer of {}", out.len())));
        }
        Ok(())
    }

    pub(super) fn placement(&self, width: u32, height: u32) -> Placement {
        let whole = [0.0, 0.0, f64::from(width), f64::from(height)];
        match self.fit {
            Fit::Stretch => Placement { source: whole, inner: self.size, offset: (0, 0) },
            Fit::Pad => {
                let inner = contain(width, height, self.size);
                let offset =
                    (half_to_even(self.size.width - inner.width), half_to_even(self.size.height - inner.height));
                Placement { source: whole, inner, offset }
            }
            Fit::Crop => {
                let cover = |side: u32| (f64::from(side) / self.crop_fraction + SIZE_SLACK) as u64;
                let (cover_w, cover_h) = (cover(self.size.width), cover(self.size.height));
                let (w, h) = (u64::from(width), u64::from(height));
                // Both products stay far below 2^64: sides below 2^15, covers below 2^19.
                let (scaled_w, scaled_h) =
                    if w * cover_h <= h * cover_w { (cover_w, cover_w * h / w) } else { (cover_h * w / h, cover_h) };
                let (left, crop_w) = crop_range(width, scaled_w as u32, self.size.width);
                let (top, crop_h) = crop_range(height, scaled_h as u32, self.size.height);
                Placement { source: [left, top, crop_w, crop_h], inner: self.size, offset: (0, 0) }
            }
        }
    }

    /// The part `[left, top, width, height]` of an image, scaled to a size.
    ///
    /// Rows first and columns second, as Pillow does: one call would take the other order, and where bicubic overshoots
    /// and is clipped between the passes, bytes then differ by up to 18.
    pub(super) fn scale_part(&self, image: Image<'_>, part: [f64; 4], inner: Size) -> Result<Buffer<'static>> {
        let filter = match self.resample {
            Resample::Bilinear => FilterType::Bilinear,
            Resample::Bicubic => FilterType::CatmullRom,
            Resample::Area => FilterType::Box,
        };
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
        let [left, top, width, height] = part;
        let rows = options.crop(left, 0.0, width, f64::from(image.height));
        let columns = options.crop(0.0, top, f64::from(inner.width), height);

        let data = image.opaque();
        let source = ImageRef::new(image.width, image.height, &data, PixelType::U8x4);
        let source = source.map_err(|e| Error::internal(e.to_string()))?;
        let mut narrow = Buffer::new(inner.width, image.height, PixelType::U8x4);
        let mut scaled = Buffer::new(inner.width, inner.height, PixelType::U8x4);
        let mut resizer = Resizer::new();
        resizer
            .resize(&source, &mut narrow, &rows)
            .and_then(|()| resizer.resize(&narrow, &mut scaled, &columns))
            .map_err(|e| Error::internal(e.to_string()))?;
        Ok(scaled)
    }

    fn normalise(&self, scaled: &Buffer<'_>, placement: &Placement, out: &mut [f32]) {
        let mut order = [0, 1, 2];
        if self.channel_order == ChannelOrder::Bgr {
            order.reverse();
        }
        if placement.inner != self.size {
            out.fill(0.0);
        }
        let lookup = self.lookup();
        let (left, top) = (placement.offset.0 as usize, placement.offset.1 as usize);
        let rows = out.chunks_exact_mut(self.size.width as usize * 3).skip(top);
        let scaled_rows = scaled.buffer().as_chunks::<4>().0.chunks_exact(scaled.width() as usize);
        for (row, scaled_row) in rows.zip(scaled_rows) {
            kernels::normalise(scaled_row, &lookup, order, row.as_chunks_mut().0.get_mut(left..).unwrap_or_default());
        }
    }
}

/// Start and length, in source pixels, of the centre `keep` of `scaled` pixels, as torchvision's `CenterCrop` rounds.
fn crop_range(source: u32, scaled: u32, keep: u32) -> (f64, f64) {
    let ratio = |pixels: u32| f64::from(pixels) * f64::from(source) / f64::from(scaled);
    let start = ratio(half_to_even(scaled - keep));
    (start, ratio(keep).min(f64::from(source) - start))
}

/// Largest size of the image's aspect ratio inside `size`, rounded as Pillow's `ImageOps.contain`.
fn contain(width: u32, height: u32, size: Size) -> Size {
    let (w, h) = (f64::from(width), f64::from(height));
    let side = |share: f64, other: u32| (share * f64::from(other)).round_ties_even().max(1.0) as u32;
    if w / h > f64::from(size.width) / f64::from(size.height) {
        Size { width: size.width, height: side(h / w, size.width) }
    } else {
        Size { width: side(w / h, size.height), height: size.height }
    }
}

/// Half of `n`, ties to the even neighbour: Python's `round(n / 2)`.
fn half_to_even(n: u32) -> u32 {
    (f64::from(n) / 2.0).round_ties_even() as u32
}

/// A map of single values scaled to another size, bilinearly between the centres of pixels. `values` fill `from`.
pub(crate) fn resize_values(values: &[f32], from: Size, to: Size) -> Vec<f32> {
    debug_assert_eq!(values.len(), from.width as usize * from.height as usize);
    let (rows, columns) = (taps(from.height, to.height), taps(from.width, to.width));
    let row = |y: usize| &values[y * from.width as usize..][..from.width as usize];
    let lerp = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let mut scaled = Vec::with_capacity(rows.len() * columns.len());
    for (above, below, ty) in rows {
        let (above, below) = (row(above), row(below));
        let value =
            |&(l, r, tx): &(usize, usize, f32)| lerp(lerp(above[l], above[r], tx), lerp(below[l], below[r], tx), ty);
        scaled.extend(columns.iter().map(value));
    }
    scaled
}

/// For each pixel of a scaled side, the two source pixels around its centre and how far it lies from the first to the second.
fn taps(from: u32, to: u32) -> Vec<(usize, usize, f32)> {
    let last = f64::from(from) - 1.0;
    let tap = |i: u32| {
        let at = ((f64::from(i) + 0.5) * f64::from(from) / f64::from(to) - 0.5).clamp(0.0, last);
        (at.floor() as usize, at.ceil() as usize, at.fract() as f32)
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_are_none_are_refused() {
        let data = [0; 12];
        for (width, height, channels) in [(0, 4, 3), (4, 0, 3), (2, 2, 2), (2, 2, 4), (1, 2, 3), (MAX_SIDE + 1, 1, 1)] {
            let image = Image::new(&data, width, height, channels);
            let found = image.as_ref().map_err(Error::code);
            assert_eq!(found.err(), Some("bad-image"), "{width}×{height}×{channels}");
        }
        assert!(Image::new(&data, 2, 2, 3).is_ok());
    }

    #[test]
    fn a_fraction_that_was_a_quotient_gives_back_its_divisor() {
        // Sizes and crops of published torchvision and timm weights.
        for (size, resize) in [(224, 256), (240, 255), (260, 288), (300, 320), (380, 384), (299, 342)] {
            let preprocessing = Preprocessing {
                size: Size { width: size, height: size },
                crop_fraction: f64::from(size) / f64::from(resize),
                ..Preprocessing::default()
            };
            let [left, _, width, _] = preprocessing.placement(resize, resize).source;
            assert_eq!(left, f64::from(half_to_even(resize - size)), "{size} of {resize}");
            assert_eq!(width, f64::from(size), "{size} of {resize}");
        }
    }
}
