//! Transfer learning: models, the builder that edits them, freezing and the cut into trunk and tail.

mod builder;
mod classifier;
mod config;
mod init;
mod layers;
mod model;
mod trunk;

pub use builder::{Edited, apply};
pub use classifier::{ClassifierOptions, classifier};
pub use config::{Activation, DenseLayer, Edit, FineTuneConfiguration, Layer};
pub use init::WeightInit;
pub use model::{Model, TensorInfo};
pub use trunk::{Trunk, image_input};
