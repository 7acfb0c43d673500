//! Training: updaters, the step as one plan, and the loop over cached features.

mod batch;
mod checkpoint;
mod divergence;
mod epoch;
mod loss;
mod options;
mod pending;
mod program;
mod progress;
mod regularization;
mod schedule;
mod trainer;
mod updater;
mod updates;

pub use checkpoint::Checkpoint;
pub use loss::{check_loss, losses};
pub use options::{
    Balanced, BatchNormMode, ClassWeights, Divergence, EarlyStopping, EpochRecord, FitOptions, History,
    IterationRecord, Monitor, StoppedBy,
};
pub use program::Parameters;
pub use progress::Status;
pub use regularization::{
    Constraint, GradientNormalization, WeightGradient, constrained, decayed, normalized, penalized,
};
pub use schedule::{Per, Rate, Schedule};
pub use trainer::Trainer;
pub use updater::Updater;
