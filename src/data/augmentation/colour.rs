//! Brightness, contrast, saturation and hue, as torchvision has them for float images.

use super::Colour;

/// Red, green and blue, 0..=255.
type Rgb = [f32; 3];

/// Pixels; padding has none.
pub(super) type Pixels = [Option<Rgb>];

/// Weights of ITU-R BT.601, as in Pillow's `convert("L")`.
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

impl Colour {
    /// Changes all pixels, each step only where it does anything.
    pub(super) fn apply(&self, pixels: &mut Pixels) {
        if self.brightness != 1.0 {
            blend(pixels, self.brightness as f32, |_| 0.0);
        }
        if self.contrast != 1.0 {
            let mean = mean_grey(pixels);
            blend(pixels, self.contrast as f32, |_| mean);
        }
        if self.saturation != 1.0 {
            blend(pixels, self.saturation as f32, grey);
        }
        if self.hue != 0.0 {
            let turn = self.hue as f32;
            pixels.iter_mut().flatten().for_each(|rgb| *rgb = turned(*rgb, turn));
        }
    }
}

/// `factor · x + (1 − factor) · towards`, clamped.
fn blend(pixels: &mut Pixels, factor: f32, towards: impl Fn(Rgb) -> f32) {
    for rgb in pixels.iter_mut().flatten() {
        let other = (1.0 - factor) * towards(*rgb);
        *rgb = rgb.map(|x| (factor * x + other).clamp(0.0, 255.0));
    }
}

fn grey(rgb: Rgb) -> f32 {
    GREY[0] * rgb[0] + GREY[1] * rgb[1] + GREY[2] * rgb[2]
}

fn mean_grey(pixels: &Pixels) -> f32 {
    let shown = pixels.iter().flatten();
    let (sum, count) = shown.fold((0.0, 0u32), |(sum, count), rgb| (sum + f64::from(grey(*rgb)), count + 1));
    (sum / f64::from(count.max(1))) as f32
}

/// Another hue at the same saturation and value (Smith, "Color gamut transform pairs", 1978).
fn turned([r, g, b]: Rgb, turn: f32) -> Rgb {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    let range = max - min;
    if range == 0.0 {
        return [r, g, b];
    }
    let sextant = if max == r {
        (g - b) / range
    } else if max == g {
        2.0 + (b - r) / range
    } else {
        4.0 + (r - g) / range
    };
    let sextant = (sextant + 6.0 * turn).rem_euclid(6.0);
    // Each channel is at its maximum in a third of the circle around its own hue, and falls to the minimum over a sextant.
    let channel = |own: f32| {
        let distance = (sextant - own).abs();
        let distance = distance.min(6.0 - distance);
        min + range * (2.0 - distance).clamp(0.0, 1.0)
    };
    [channel(0.0), channel(2.0), channel(4.0)]
}
