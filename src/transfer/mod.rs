//! Transfer learning: models, the builder that edits them, freezing and the cut into trunk and tail.

mod config;
mod init;
mod layers;

pub use config::{Activation, DenseLayer, Edit, FineTuneConfiguration, Layer};
pub use init::WeightInit;
