//! Layers and vertices to add, as the API spells them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::config::{object, parse};
use super::settings::LearningConfig;
use crate::graph::Loss;

/// A layer to add.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What it computes.
    pub kind: LayerKind,
    /// Number of features or channels it takes; inferred where absent.
    pub n_in: Option<usize>,
    /// Its own settings; they win over those of a [`FineTuneConfiguration`](super::FineTuneConfiguration).
    pub learning: LearningConfig,
}

impl From<LayerKind> for Layer {
    fn from(kind: LayerKind) -> Self {
        Self { kind, n_in: None, learning: LearningConfig::default() }
    }
}

/// What a layer computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum LayerKind {
    /// `activation(x·w + b)`.
    Dense {
        /// Number of results per row.
        n_out: usize,
        /// Whether a bias is added; true.
        #[serde(default = "yes")]
        has_bias: bool,
    },
    /// A dense layer with a loss: what training starts from.
    Output {
        /// Number of results per row.
        n_out: usize,
        /// The loss.
        loss: Loss,
        /// Factor of each column in the loss; all 1 where absent.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        loss_weights: Vec<f32>,
        /// Whether a bias is added; true.
        #[serde(default = "yes")]
        has_bias: bool,
    },
    /// Convolution over height and width.
    Conv2d {
        /// Number of result channels.
        n_out: usize,
        /// Rows and columns of a filter.
        kernel_size: Pair,
        /// Rows and columns between results; 1.
        #[serde(default)]
        stride: Pair,
        /// Cells of zeros around the input; `valid`, none.
        #[serde(default)]
        padding: Padding,
        /// Rows and columns between taps; 1.
        #[serde(default)]
        dilation: Pair,
        /// Groups of channels that are convolved apart; 1.
        #[serde(default = "one")]
        groups: usize,
        /// Whether a bias is added; true.
        #[serde(default = "yes")]
        has_bias: bool,
    },
    /// One filter a channel.
    DepthwiseConv2d(Depthwise),
    /// A depthwise convolution and a 1×1 convolution of its result to `n_out` channels, which has the bias.
    SeparableConv2d(Depthwise),
    /// Normalisation of each channel over the batch (Ioffe & Szegedy 2015).
    BatchNorm {
        /// Added to the variance; 1e-3.
        #[serde(default = "batch_epsilon")]
        epsilon: f32,
        /// Share of the running statistics that an update keeps; 0.99.
        #[serde(default = "batch_momentum")]
        momentum: f32,
    },
    /// Normalisation of each row over its features (Ba et al. 2016).
    LayerNorm {
        /// Added to the variance; 1e-3.
        #[serde(default = "batch_epsilon")]
        epsilon: f32,
    },
    /// The layer's `activation` alone.
    Activation {},
    /// The layer's `dropout` alone: drops units while training.
    Dropout {},
    /// Largest value in each window.
    MaxPool(Pool),
    /// Mean of each window, cells outside the image left out.
    AvgPool(Pool),
    /// One value a channel.
    GlobalPool {
        /// Mean or largest value.
        pooling: Pooling,
    },
    /// All dimensions but the batch as one.
    Flatten {},
}

/// A depthwise or separable convolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Depthwise {
    /// Number of result channels: of a separable convolution anything, of a depthwise one `channels · depth_multiplier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_out: Option<usize>,
    /// Filters a channel; 1.
    #[serde(default = "one")]
    pub depth_multiplier: usize,
    /// Rows and columns of a filter.
    pub kernel_size: Pair,
    /// Rows and columns between results; 1.
    #[serde(default)]
    pub stride: Pair,
    /// Cells of zeros around the input; `valid`, none.
    #[serde(default)]
    pub padding: Padding,
    /// Rows and columns between taps; 1.
    #[serde(default)]
    pub dilation: Pair,
    /// Whether a bias is added; true.
    #[serde(default = "yes")]
    pub has_bias: bool,
}

/// A pooling over windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// Rows and columns of a window.
    pub kernel_size: Pair,
    /// Rows and columns between windows; the window's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Pair>,
    /// Cells around the input, which count for nothing; `valid`, none.
    #[serde(default)]
    pub padding: Padding,
}

/// How a map becomes one value a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Pooling {
    Avg,
    Max,
}

/// Rows and columns: one number for both, or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pair {
    /// The same for rows and columns.
    Both(usize),
    /// Rows, columns.
    Each([usize; 2]),
}

impl Pair {
    /// Rows, columns.
    pub fn sizes(self) -> [usize; 2] {
        match self {
            Self::Both(n) => [n, n],
            Self::Each(sizes) => sizes,
        }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::Both(1)
    }
}

/// Cells of zeros around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Padding {
    /// By name.
    Named(NamedPadding),
    /// As many on all sides.
    All(usize),
    /// Top, left, bottom, right.
    Each([usize; 4]),
}

/// Padding by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedPadding {
    /// As many results as `⌈size / stride⌉`, odd cells at the bottom and right (TensorFlow, ONNX `SAME_UPPER`).
    Same,
    /// None.
    Valid,
}

impl Default for Padding {
    fn default() -> Self {
        Self::Named(NamedPadding::Valid)
    }
}

/// A vertex to add: no parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum VertexKind {
    /// Sum of all inputs.
    Add {},
    /// First input minus the second.
    Subtract {},
    /// Product of all inputs, broadcast.
    Multiply {},
    /// Mean of all inputs.
    Average {},
    /// Largest of all inputs, element by element.
    Max {},
    /// All inputs along one dimension.
    Merge {
        /// The dimension; the channels of images, else 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        axis: Option<usize>,
    },
    /// Features or channels `from` to `to`, both included.
    Subset {
        /// First.
        from: usize,
        /// Last.
        to: usize,
    },
    /// Every element times a factor.
    Scale {
        /// The factor.
        factor: f32,
    },
    /// Every element plus a number.
    Shift {
        /// The number.
        by: f32,
    },
    /// Each row divided by its Euclidean norm.
    L2Normalize {},
    /// The same elements under another shape.
    Reshape {
        /// Dimensions after the batch; one may be −1, whatever is left.
        shape: Vec<i64>,
    },
}

fn yes() -> bool {
    true
}
fn one() -> usize {
    1
}
fn batch_epsilon() -> f32 {
    1e-3
}
fn batch_momentum() -> f32 {
    0.99
}

// Flat in JSON. `serde(flatten)` would let misspelt names pass.
impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = object::<S>(&self.kind)?;
        all.extend(object::<S>(&self.learning)?);
        if let Some(n_in) = self.n_in {
            all.insert("nIn".into(), n_in.into());
        }
        all.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Layer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (learning, mut own) = partition(Map::deserialize(deserializer)?);
        let n_in = own.remove("nIn").map(parse::<_, D>).transpose()?.flatten();
        Ok(Self { kind: parse::<_, D>(Value::Object(own))?, n_in, learning: parse::<_, D>(Value::Object(learning))? })
    }
}

fn partition(all: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    all.into_iter().partition(|(name, _)| LearningConfig::FIELDS.contains(&name.as_str()))
}
