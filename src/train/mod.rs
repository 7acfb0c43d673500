//! Training: updaters, the step as one plan, and the loop over cached features.

mod options;
mod program;
mod regularization;
mod schedule;
mod trainer;
mod updater;

pub use options::{EpochRecord, FitOptions, IterationRecord, StoppedBy};
pub use program::Parameters;
pub use regularization::{Constraint, GradientNormalization};
pub use schedule::{Per, Rate, Schedule};
pub use trainer::{History, Status, Trainer};
pub use updater::Updater;
