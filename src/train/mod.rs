//! Training: updaters and the loop over cached features.

mod updater;

pub use updater::Updater;
