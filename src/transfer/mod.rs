//! Transfer learning: models, the builder that edits them, freezing and the cut into trunk and tail.

mod builder;
mod classifier;
mod config;
mod export;
mod init;
mod layers;
mod load;
mod model;
mod predict;
mod trunk;

pub use builder::{Edited, apply};
pub use classifier::{ClassifierOptions, classifier};
pub use config::{Activation, DenseLayer, Edit, FineTuneConfiguration, Layer};
pub use export::{Export, ExportOptions, ExportType, Verified};
pub use init::WeightInit;
pub use load::{Files, LoadOptions};
pub use model::{Model, TensorInfo};
pub use predict::{Prediction, Predictor, top};
pub use trunk::{Trunk, image_input};
