//! Training: updaters, the step as one plan, and the loop over cached features.

mod loss;
mod options;
mod program;
mod regularization;
mod schedule;
mod trainer;
mod updater;

pub use loss::{check_loss, losses};
pub use options::{EpochRecord, FitOptions, IterationRecord, StoppedBy};
pub use program::Parameters;
pub use regularization::{
    Constraint, GradientNormalization, WeightGradient, constrained, decayed, normalized, penalized,
};
pub use schedule::{Per, Rate, Schedule};
pub use trainer::{History, Status, Trainer};
pub use updater::Updater;
