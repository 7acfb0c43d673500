//! Architectures as code; weights come from a checkpoint or are drawn.
//!
//! All of them take an image batch `input` of `[n, 3, s, s]` and end in the probabilities `predictions` of `[n, classes]`.
//! Parameters have the names of the checkpoint's tensors.

mod efficientnet_lite;
mod inverted_residual;
mod mobilenet_v2;
mod net;
mod resnet18;
mod squeezenet;
#[cfg(test)]
mod tests;
mod values;
mod vgg16;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::data::{Preprocessing, Size};
use crate::error::{Error, Result};
use crate::formats::pytorch::StateDict;
use crate::graph::Graph;
use crate::tensor::Shape;
use values::Values;

/// A network the zoo has the code of. Serialises to `ZooName` of the JavaScript API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// EfficientNet-Lite0, 224 pixels, 4.65 M parameters.
    #[serde(rename = "efficientnet_lite0")]
    EfficientnetLite0,
    /// EfficientNet-Lite1, 240 pixels, 5.42 M parameters.
    #[serde(rename = "efficientnet_lite1")]
    EfficientnetLite1,
    /// EfficientNet-Lite2, 260 pixels, 6.09 M parameters.
    #[serde(rename = "efficientnet_lite2")]
    EfficientnetLite2,
    /// EfficientNet-Lite3, 280 pixels, 8.20 M parameters.
    #[serde(rename = "efficientnet_lite3")]
    EfficientnetLite3,
    /// EfficientNet-Lite4, 300 pixels, 13.0 M parameters.
    #[serde(rename = "efficientnet_lite4")]
    EfficientnetLite4,
    /// MobileNetV2, 224 pixels, 3.50 M parameters (Sandler et al. 2018).
    #[serde(rename = "mobilenet_v2")]
    MobilenetV2,
    /// SqueezeNet 1.1, 224 pixels, 1.24 M parameters (Iandola et al. 2016).
    #[serde(rename = "squeezenet1_1")]
    Squeezenet1_1,
    /// ResNet-18, 224 pixels, 11.7 M parameters (He et al. 2015).
    #[serde(rename = "resnet18")]
    Resnet18,
    /// VGG-16 without batch norm, 224 pixels, 138 M parameters (Simonyan & Zisserman 2014).
    #[serde(rename = "vgg16")]
    Vgg16,
}

/// Where parameters come from.
#[derive(Debug, Clone)]
pub enum Weights {
    /// The tensors of a checkpoint. It says the number of classes.
    State(StateDict),
    /// Drawn: convolutions after He et al. 2015, dense layers after Glorot & Bengio 2010, biases 0, norms the identity.
    Random {
        /// Seed of the draw.
        seed: u64,
        /// Number of classes, 2 to 65536.
        classes: usize,
    },
}

/// A network with its weights, and what its images go through first.
#[derive(Debug, Clone, PartialEq)]
pub struct ZooModel {
    /// The network; its batch is 1.
    pub graph: Graph,
    /// How its authors prepared images for evaluation.
    pub preprocessing: Preprocessing,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::EfficientnetLite0,
        Self::EfficientnetLite1,
        Self::EfficientnetLite2,
        Self::EfficientnetLite3,
        Self::EfficientnetLite4,
        Self::MobilenetV2,
        Self::Squeezenet1_1,
        Self::Resnet18,
        Self::Vgg16,
    ];

    /// Name in the JavaScript API.
    pub fn name(self) -> &'static str {
        match self {
            Self::EfficientnetLite0 => "efficientnet_lite0",
            Self::EfficientnetLite1 => "efficientnet_lite1",
            Self::EfficientnetLite2 => "efficientnet_lite2",
            Self::EfficientnetLite3 => "efficientnet_lite3",
            Self::EfficientnetLite4 => "efficientnet_lite4",
            Self::MobilenetV2 => "mobilenet_v2",
            Self::Squeezenet1_1 => "squeezenet1_1",
            Self::Resnet18 => "resnet18",
            Self::Vgg16 => "vgg16",
        }
    }

    /// The architecture of a name; [`Error::BadOption`] with all names for another.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::option("architecture", format!("'{name}' is not one of {known}"))
        })
    }

    /// The architecture a checkpoint belongs to, by the names and shapes of a few tensors; `None` where none fits.
    pub fn detect(state: &StateDict) -> Option<Self> {
        let shapes: HashMap<&str, &Shape> = state.iter().map(|(name, t)| (name.as_str(), t.shape())).collect();
        let has = |name: &str, expected: &[usize]| shapes.get(name).is_some_and(|shape| ***shape == *expected);
        if let Some(lite) = efficientnet_lite::detect(&shapes) {
            Some(lite)
        } else if has("features.18.0.weight", &[1280, 320, 1, 1]) && has("features.1.conv.0.0.weight", &[32, 1, 3, 3]) {
            Some(Self::MobilenetV2)
        } else if has("fire2/squeeze1x1.0", &[1, 1, 64, 16]) || has("features.3.squeeze.weight", &[16, 64, 1, 1]) {
            Some(Self::Squeezenet1_1)
        } else if has("layer4.1.conv2.weight", &[512, 512, 3, 3]) && !shapes.contains_key("layer1.2.conv1.weight") {
            Some(Self::Resnet18)
        } else if has("features.28.weight", &[512, 512, 3, 3]) && has("classifier.0.weight", &[4096, 25088]) {
            Some(Self::Vgg16)
        } else {
            None
        }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// [`Error::Format`] for a checkpoint that misses tensors or has some the architecture knows nothing of, [`Error::Shape`]
    /// for a tensor of another shape, [`Error::BadOption`] for a number of classes out of range.
    pub fn build(self, weights: Weights) -> Result<ZooModel> {
        self.build_from(Values::new(self.name(), weights)?)
    }

    fn build_from(self, values: Values) -> Result<ZooModel> {
        match self {
            Self::EfficientnetLite0
            | Self::EfficientnetLite1
            | Self::EfficientnetLite2
            | Self::EfficientnetLite3
            | Self::EfficientnetLite4 => efficientnet_lite::build(self, values),
            Self::MobilenetV2 => mobilenet_v2::build(values),
            Self::Squeezenet1_1 => squeezenet::build(values),
            Self::Resnet18 => resnet18::build(values),
            Self::Vgg16 => vgg16::build(values),
        }
    }
}

/// A square of `side` pixels.
fn square(side: u32) -> Size {
    Size { width: side, height: side }
}
