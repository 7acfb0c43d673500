//! Augmented views: what is done to an image, drawn from seed, sample and view alone.
//!
//! View 0 is the plain image. Every option draws from its own place in the numbers of its sample and view, so switching
//! one on changes nothing of the others, and nothing depends on who draws, nor when.

mod colour;
mod mix;
mod render;
#[cfg(test)]
mod tests;
mod views;

use serde::{Deserialize, Serialize};

use super::preprocessing::Size;
use super::rng::{Rng, Stream};
use crate::error::{Error, Result};
pub use mix::{Mix, Patch};
pub use views::Views;

/// How images are varied in training. Serialises to `Augmentation` of the JavaScript API; 0 and `false`, the defaults,
/// switch an option off.
///
/// Geometry comes first, in the frame of the plain preprocessed image and in this order: crop, flip, rotation and zoom about
/// the centre, shift. Together they are one affine map, sampled once from the source image, which is shrunk first where the
/// view is smaller. Colour follows in the order of the fields, then erasing, then mixing with another image. What lies
/// outside of the source image is its mirror image, or the mean colour where `fit` is `pad`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Augmentation {
    /// Mirror left and right in half of the views.
    pub flip_horizontal: bool,
    /// Mirror top and bottom in half of the views.
    pub flip_vertical: bool,
    /// Rotation in degrees, uniform in ± this; 0..=180.
    pub rotate_degrees: f64,
    /// Scale, uniform in 1 ± this; 0..=0.9.
    pub zoom: f64,
    /// Shift of each axis as a share of that side, uniform in ± this; 0..=1.
    pub shift: f64,
    /// Smallest share of the area that a crop keeps, 0.01..=1: the share is uniform up to 1, the aspect changes log-uniformly
    /// by up to 4:3, the crop is stretched to the full size (Szegedy et al. 2015, section 6; torchvision's
    /// `RandomResizedCrop`, ten attempts).
    pub random_crop: f64,
    /// Factor of all values, uniform in 1 ± this; 0..=1. This and the next three as in torchvision's `ColorJitter`, on values
    /// clamped to 0..=255 after each.
    pub brightness: f64,
    /// Factor of the distance to the image's mean grey, uniform in 1 ± this; 0..=1.
    pub contrast: f64,
    /// Factor of the distance to the pixel's own grey, uniform in 1 ± this; 0..=1.
    pub saturation: f64,
    /// Turn of the hue, 1 being the whole circle, uniform in ± this; 0..=0.5.
    pub hue: f64,
    /// Probability that a rectangle of 2 % to 33 % of the area and an aspect of 0.3 to 3.3 becomes the mean colour; 0..=1
    /// (Zhong et al. 2020, "Random Erasing Data Augmentation"; torchvision's `RandomErasing`).
    pub erase: f64,
    /// α of the Beta(α, α) from which the share of the image in a mean with another one is drawn; 0.01..=100 (Zhang et al.
    /// 2018, "mixup"). With `cutmix` too, each view is mixed in one of the two ways, chosen evenly.
    pub mixup: f64,
    /// α of the Beta(α, α) from which the area left to the image is drawn, the rest being a rectangle of another one;
    /// 0.01..=100 (Yun et al. 2019, "CutMix").
    pub cutmix: f64,
}

/// What is done to one view of an image, mixing aside. The default is the plain image.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct View {
    /// Where pixels come from.
    pub geometry: Geometry,
    /// What becomes of their colours.
    pub colour: Colour,
    /// Pixels of the result that become the mean colour.
    pub erase: Option<Patch>,
}

/// A crop, then flips, then rotation and zoom about the centre, then a shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// Left, top, width and height of the part that is stretched to the whole, as shares of the plain image.
    pub crop: [f64; 4],
    /// Whether left and right change places.
    pub flip_horizontal: bool,
    /// Whether top and bottom change places.
    pub flip_vertical: bool,
    /// Degrees, counter-clockwise.
    pub rotate: f64,
    /// Factor by which things grow.
    pub zoom: f64,
    /// To the right and down, as shares of the sides.
    pub shift: [f64; 2],
}

impl Default for Geometry {
    fn default() -> Self {
        let crop = [0.0, 0.0, 1.0, 1.0];
        Self { crop, flip_horizontal: false, flip_vertical: false, rotate: 0.0, zoom: 1.0, shift: [0.0; 2] }
    }
}

/// Factors of brightness, contrast and saturation, and a turn of the hue, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    /// Factor of all values.
    pub brightness: f64,
    /// Factor of the distance to the mean grey.
    pub contrast: f64,
    /// Factor of the distance to the pixel's grey.
    pub saturation: f64,
    /// Turn of the hue, 1 being the whole circle.
    pub hue: f64,
}

impl Default for Colour {
    fn default() -> Self {
        Self { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0 }
    }
}

/// Places in the numbers of a view, in 32-bit words, for what draws an unknown number of them.
const CROP_AT: u64 = 64;
const ERASE_AT: u64 = 128;
const MIX_AT: u64 = 256;

/// Draws before a crop or a rectangle that does not fit is given up, as in torchvision.
const ATTEMPTS: usize = 10;

/// Largest change of a crop's aspect.
const CROP_ASPECT: f64 = 4.0 / 3.0;

/// Area and aspect of erased rectangles, those of torchvision.
const ERASED_AREA: [f64; 2] = [0.02, 0.33];
const ERASED_ASPECT: [f64; 2] = [0.3, 3.3];

impl Augmentation {
    /// [`Error::BadOption`] unless every field is 0 or in its range.
    pub fn validate(&self) -> Result<()> {
        let fields = [
            ("augmentation.rotateDegrees", self.rotate_degrees, 0.0, 180.0),
            ("augmentation.zoom", self.zoom, 0.0, 0.9),
            ("augmentation.shift", self.shift, 0.0, 1.0),
            ("augmentation.randomCrop", self.random_crop, 0.01, 1.0),
            ("augmentation.brightness", self.brightness, 0.0, 1.0),
            ("augmentation.contrast", self.contrast, 0.0, 1.0),
            ("augmentation.saturation", self.saturation, 0.0, 1.0),
            ("augmentation.hue", self.hue, 0.0, 0.5),
            ("augmentation.erase", self.erase, 0.0, 1.0),
            ("augmentation.mixup", self.mixup, 0.01, 100.0),
            ("augmentation.cutmix", self.cutmix, 0.01, 100.0),
        ];
        for (name, value, least, most) in fields {
            if value != 0.0 && !(least..=most).contains(&value) {
                let off = if least > 0.0 { "0 or " } else { "" };
                return Err(Error::option(name, format!("must be {off}{least} to {most}, not {value}")));
            }
        }
        Ok(())
    }

    /// Whether views are mixed from two images.
    pub fn mixes(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    /// What is done to view `view` of sample `index` in images of `size`.
    pub fn view(&self, seed: u64, index: usize, view: usize, size: Size) -> View {
        if view == 0 {
            return View::default();
        }
        let mut rng = numbers(seed, index, view);
        let geometry = Geometry {
            flip_horizontal: (rng.uniform() < 0.5) && self.flip_horizontal,
            flip_vertical: (rng.uniform() < 0.5) && self.flip_vertical,
            rotate: within(&mut rng, self.rotate_degrees),
            zoom: 1.0 + within(&mut rng, self.zoom),
            shift: [within(&mut rng, self.shift), within(&mut rng, self.shift)],
            ..Geometry::default()
        };
        let colour = Colour {
            brightness: 1.0 + within(&mut rng, self.brightness),
            contrast: 1.0 + within(&mut rng, self.contrast),
            saturation: 1.0 + within(&mut rng, self.saturation),
            hue: within(&mut rng, self.hue),
        };
        rng.seek(CROP_AT);
        let crop = self.crop(&mut rng).unwrap_or(geometry.crop);
        rng.seek(ERASE_AT);
        let erase = (rng.uniform() < self.erase).then(|| erased(&mut rng, size)).flatten();
        View { geometry: Geometry { crop, ..geometry }, colour, erase }
    }

    fn crop(&self, rng: &mut Rng) -> Option<[f64; 4]> {
        let sides = |rng: &mut Rng| {
            let area = between(rng, self.random_crop, 1.0);
            let aspect = log_between(rng, 1.0 / CROP_ASPECT, CROP_ASPECT);
            Some([(area * aspect).sqrt(), (area / aspect).sqrt()]).filter(|[w, h]| *w <= 1.0 && *h <= 1.0)
        };
        let [w, h] = (self.random_crop > 0.0).then(|| (0..ATTEMPTS).find_map(|_| sides(rng))).flatten()?;
        Some([rng.uniform() * (1.0 - w), rng.uniform() * (1.0 - h), w, h])
    }
}

fn erased(rng: &mut Rng, size: Size) -> Option<Patch> {
    let pixels = f64::from(size.width) * f64::from(size.height);
    let sides = |rng: &mut Rng| {
        let area = between(rng, ERASED_AREA[0], ERASED_AREA[1]) * pixels;
        let aspect = log_between(rng, ERASED_ASPECT[0], ERASED_ASPECT[1]);
        let (width, height) = ((area / aspect).sqrt().round() as u32, (area * aspect).sqrt().round() as u32);
        (width < size.width && height < size.height).then_some((width, height))
    };
    let (width, height) = (0..ATTEMPTS).find_map(|_| sides(rng))?;
    let mut place = |room: u32| rng.below(room as usize + 1) as u32;
    Some(Patch { left: place(size.width - width), top: place(size.height - height), width, height })
}

/// The numbers of one view of one sample.
fn numbers(seed: u64, index: usize, view: usize) -> Rng {
    Rng::for_item(seed, Stream::Augmentation, (index as u64) << 32 | view as u64)
}

fn between(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + rng.uniform() * (high - low)
}

fn within(rng: &mut Rng, limit: f64) -> f64 {
    between(rng, -limit, limit)
}

fn log_between(rng: &mut Rng, low: f64, high: f64) -> f64 {
    libm::exp(between(rng, libm::log(low), libm::log(high)))
}
