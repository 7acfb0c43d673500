//! Views made of two images, and the targets that go with them.

use super::{Augmentation, MIX_AT, numbers};
use crate::data::preprocessing::Size;
use crate::data::rng::Rng;

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// How a view is mixed with the same view of another sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// The other sample, never the sample itself.
    pub partner: usize,
    /// Share of the sample's own target, 0..=1; the partner's has the rest.
    pub share: f32,
    /// Where the partner's pixels replace the sample's; without it, each pixel is the mean, weighted by the shares.
    pub patch: Option<Patch>,
}

impl Augmentation {
    /// How view `view` of sample `index`, of `count`, is mixed in images of `size`; `None` for the plain view, where nothing
    /// is mixed, and where there is no other sample.
    pub fn mix(&self, seed: u64, index: usize, view: usize, count: usize, size: Size) -> Option<Mix> {
        if view == 0 || !self.mixes() || count < 2 {
            return None;
        }
        let mut rng = numbers(seed, index, view);
        rng.seek(MIX_AT);
        let first = rng.uniform() < 0.5;
        let cuts = self.cutmix > 0.0 && (first || self.mixup == 0.0);
        let partner = (index + 1 + rng.below(count - 1)) % count;
        let centre = [rng.uniform(), rng.uniform()];
        let share = beta(&mut rng, if cuts { self.cutmix } else { self.mixup });
        if !cuts {
            return Some(Mix { partner, share: share as f32, patch: None });
        }
        let patch = patch(centre, share, size);
        let area = f64::from(patch.width) * f64::from(patch.height);
        let share = 1.0 - area / (f64::from(size.width) * f64::from(size.height));
        Some(Mix { partner, share: share as f32, patch: Some(patch) })
    }
}

/// `rand_bbox` of the paper's code: a rectangle of the image's aspect with `1 − share` of its area, cut off at the borders.
fn patch([x, y]: [f64; 2], share: f64, size: Size) -> Patch {
    let side = |at: f64, whole: u32| {
        let half = f64::from((f64::from(whole) * (1.0 - share).sqrt()) as u32 / 2);
        let centre = (at * f64::from(whole)).floor();
        let (start, end) = ((centre - half).max(0.0), (centre + half).min(f64::from(whole)));
        (start as u32, (end - start) as u32)
    };
    let ((left, width), (top, height)) = (side(x, size.width), side(y, size.height));
    Patch { left, top, width, height }
}

impl Mix {
    /// Mixes the partner's preprocessed pixels, `height × width × 3`, into the sample's.
    pub fn pixels(&self, own: &mut [f32], partner: &[f32], width: usize) {
        match self.patch {
            None => own.iter_mut().zip(partner).for_each(|(x, y)| *x = self.mean(*x, *y)),
            Some(patch) => {
                for row in patch.rows(width) {
                    if let (Some(own), Some(partner)) = (own.get_mut(row.clone()), partner.get(row)) {
                        own.copy_from_slice(partner);
                    }
                }
            }
        }
    }

    /// The mixed target.
    pub fn target(&self, own: &[f32], partner: &[f32]) -> Vec<f32> {
        own.iter().zip(partner).map(|(x, y)| self.mean(*x, *y)).collect()
    }

    fn mean(&self, own: f32, partner: f32) -> f32 {
        self.share * own + (1.0 - self.share) * partner
    }
}

impl Patch {
    /// Where its rows lie among the values of an image of this width, three values a pixel.
    pub(super) fn rows(self, width: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (left, columns) = (self.left as usize * 3, self.width as usize * 3);
        (self.top as usize..(self.top + self.height) as usize).map(move |row| {
            let start = row * width * 3 + left;
            start..start + columns
        })
    }
}

/// A number of Beta(α, α): `a / (a + b)` for two of Gamma(α), by their logarithms, since for small α both may be as good as 0.
fn beta(rng: &mut Rng, alpha: f64) -> f64 {
    let (a, b) = (log_gamma(rng, alpha), log_gamma(rng, alpha));
    1.0 / (1.0 + libm::exp(b - a))
}

/// Logarithm of a number of Gamma(α) with scale 1 (Marsaglia and Tsang, "A simple method for generating gamma variables", 2000).
fn log_gamma(rng: &mut Rng, alpha: f64) -> f64 {
    if alpha < 1.0 {
        return log_gamma(rng, alpha + 1.0) + libm::log(1.0 - rng.uniform()) / alpha;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = rng.normal();
        let root = 1.0 + c * x;
        let v = root * root * root;
        let u = 1.0 - rng.uniform();
        if v > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return libm::log(d * v);
        }
    }
}

#[cfg(test)]
pub(super) fn draw_beta(seed: u64, alpha: f64, count: usize) -> Vec<f64> {
    let mut rng = Rng::new(seed, crate::data::Stream::Augmentation);
    (0..count).map(|_| beta(&mut rng, alpha)).collect()
}
