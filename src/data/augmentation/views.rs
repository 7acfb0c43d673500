//! The views of all images of a data set.

use super::{Augmentation, Mix};
use crate::data::image::Image;
use crate::data::preprocessing::{Preprocessing, Size};
use crate::error::{Error, Result};

/// What makes the views of a data set's images: equal values make equal pixels and targets, image by image, whoever asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Views {
    augmentation: Augmentation,
    seed: u64,
    count: usize,
    size: Size,
}

impl Views {
    /// Views of `count` samples in images of `size`; `bad-option` as [`Augmentation::validate`].
    pub fn new(augmentation: Augmentation, seed: u64, count: usize, size: Size) -> Result<Self> {
        augmentation.validate()?;
        Ok(Self { augmentation, seed, count, size })
    }

    /// How view `view` of sample `index` is mixed with another sample, if it is.
    pub fn mix(&self, index: usize, view: usize) -> Option<Mix> {
        self.augmentation.mix(self.seed, index, view, self.count, self.size)
    }

    /// Writes view `view` of sample `index` to `out` as [`Preprocessing::preprocess`] does. `partner` is the image of the sample
    /// that [`Views::mix`] names.
    ///
    /// # Errors
    /// `bad-option` where the partner is needed and missing; as [`Preprocessing::preprocess`].
    pub fn render(
        &self,
        preprocessing: &Preprocessing,
        (index, view): (usize, usize),
        image: Image<'_>,
        partner: Option<Image<'_>>,
        out: &mut [f32],
    ) -> Result<()> {
        if preprocessing.size != self.size {
            let (ours, theirs) = (self.size, preprocessing.size);
            return Err(Error::internal(format!("views of {ours:?} for a preprocessing to {theirs:?}")));
        }
        let drawn = |index| self.augmentation.view(self.seed, index, view, self.size);
        preprocessing.preprocess_view(image, &drawn(index), out)?;
        let Some(mix) = self.mix(index, view) else { return Ok(()) };
        let missing = || Error::option("augmentation", format!("view {view} of {index} is mixed with {}", mix.partner));
        let mut other = vec![0.0; out.len()];
        preprocessing.preprocess_view(partner.ok_or_else(missing)?, &drawn(mix.partner), &mut other)?;
        mix.pixels(out, &other, self.size.width as usize);
        Ok(())
    }
}
