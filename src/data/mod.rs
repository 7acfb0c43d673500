//! From pixels to batches: preprocessing, augmentation, seeded randomness, splits, cached features.

mod augmentation;
mod features;
mod image;
mod preprocessing;
mod rng;
mod split;

pub use augmentation::{Augmentation, Colour, Geometry, Mix, Patch, View, Views};
pub use features::{FeatureSet, FeatureTensor};
pub use image::Image;
pub(crate) use image::resize_values;
pub use preprocessing::{ChannelOrder, Fit, Preprocessing, PreprocessingPatch, Resample, Size};
pub use rng::{Rng, Stream};
pub use split::{Split, balanced, folds, sorted_labels, split};
