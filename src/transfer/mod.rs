//! Transfer learning: models, the builder that edits them, freezing and the cut into trunk and tail.

mod activation;
mod builder;
mod classifier;
mod config;
mod evaluate;
mod export;
mod fitting;
mod freezing;
mod grad_cam;
mod helper;
mod init;
mod layers;
mod layout;
mod load;
mod model;
mod parts;
mod predict;
mod refit;
mod requested;
mod settings;
mod transfer_learning;
mod trunk;
mod vertices;

pub use builder::{Edited, apply};
pub use classifier::{ClassifierOptions, classifier};
pub use config::{
    Activation, Depthwise, Edit, FineTuneConfiguration, Layer, LayerKind, NamedPadding, Padding, Pair, Pool, Pooling,
    VertexKind,
};
pub use export::{Export, ExportOptions, ExportType, Verified};
pub use grad_cam::{GradCam, HeatMap};
pub use helper::{Labelled, TransferLearningHelper};
pub use init::{Distribution, WeightInit};
pub use load::{Files, LoadOptions};
pub use model::{Model, TensorInfo};
pub use predict::{Prediction, Predictor, top};
pub use settings::{LearningConfig, Setting, Settings};
pub use transfer_learning::TransferLearning;
pub use trunk::{Trunk, image_input};
