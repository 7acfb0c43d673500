//! SqueezeNet 1.1 (Iandola et al. 2016; the 1.1 of github.com/forresti/SqueezeNet) with the names and borders of torchvision's
//! `squeezenet1_1`, or of the numpy arrays that were converted from the authors' Caffe model for TensorFlow.

use super::ZooModel;
use super::net::{Net, Padding, Square};
use super::values::{FilterOrder, Values};
use crate::data::{ChannelOrder, Preprocessing};
use crate::error::Result;
use crate::graph::VertexId;
use crate::ops::Concat;

/// Number in the paper, index in torchvision's `features`, channels after the squeeze and after each expansion.
const FIRES: [[usize; 4]; 8] = [
    [2, 3, 16, 64],
    [3, 4, 16, 64],
    [4, 6, 32, 128],
    [5, 7, 32, 128],
    [6, 9, 48, 192],
    [7, 10, 48, 192],
    [8, 11, 64, 256],
    [9, 12, 64, 256],
];

const STEM: usize = 64;

/// Poolings, by the fire that follows.
const POOL_BEFORE: [(usize, &str); 3] = [(2, "pool1"), (4, "pool3"), (6, "pool5")];

/// Blue, green, red: the mean pixel of ImageNet that Caffe models subtract.
const MEAN_OF_CAFFE: [f64; 3] = [103.939, 116.779, 123.68];

/// What the two kinds of checkpoints differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Torchvision,
    Numpy,
}

impl Source {
    fn stem(self) -> &'static str {
        match self {
            Self::Torchvision => "features.0",
            Self::Numpy => "conv1",
        }
    }

    fn fire(self, number: usize, index: usize, part: &str) -> String {
        match self {
            Self::Torchvision => format!("features.{index}.{part}"),
            Self::Numpy => format!("fire{number}/{part}"),
        }
    }

    /// Prefix of the classifier, and its weight with the dimension that counts classes.
    fn classifier(self) -> (&'static str, &'static str, usize) {
        match self {
            Self::Torchvision => ("classifier.1", "classifier.1.weight", 0),
            Self::Numpy => ("conv10", "conv10.0", 3),
        }
    }

    /// torchvision pads nothing and rounds poolings up; the numpy weights are for `SAME` and for poolings that round down.
    fn stem_padding(self) -> Padding {
        match self {
            Self::Torchvision => Padding::Each(0),
            Self::Numpy => Padding::Same,
        }
    }

    fn preprocessing(self) -> Preprocessing {
        let torchvision = Preprocessing::default();
        match self {
            Self::Torchvision => torchvision,
            Self::Numpy => Preprocessing {
                channel_order: ChannelOrder::Bgr,
                scale: 1.0,
                mean: MEAN_OF_CAFFE,
                std: [1.0; 3],
                ..torchvision
            },
        }
    }
}

pub(super) fn build(values: Values) -> Result<ZooModel> {
    let source = if values.has("conv1.0") { Source::Numpy } else { Source::Torchvision };
    let preprocessing = source.preprocessing();
    let (mut net, x) = Net::new(values, preprocessing.size.width, 0.0)?;
    if source == Source::Numpy {
        net.order = FilterOrder::Hwio;
    }
    let stem = Square { kernel: 3, stride: 2, padding: source.stem_padding() };
    let mut x = net.conv_bias("conv1", source.stem(), x, STEM, stem)?;
    x = net.relu("relu_conv1", x)?;
    for fire in FIRES {
        if let Some(pool) = POOL_BEFORE.iter().find(|(number, _)| *number == fire[0]) {
            let window = Square { kernel: 3, stride: 2, padding: Padding::Each(0) };
            x = net.max_pool(pool.1, x, window, source == Source::Torchvision)?;
        }
        x = net.fire(source, fire, x)?;
    }
    x = net.dropout("drop9", x, 0.5)?;
    let (tensor, weight, axis) = source.classifier();
    let classes = net.values.classes(weight, axis)?;
    x = net.conv_bias("conv10", tensor, x, classes, Square::POINT)?;
    if source == Source::Torchvision {
        x = net.relu("relu_conv10", x)?;
    }
    x = net.pooled("pool10", x)?;
    let y = net.softmax(x)?;
    net.finish(y, preprocessing)
}

impl Net {
    /// The vertices `fireN/…`: a squeeze by a point convolution, then two expansions side by side (figure 1 of the paper).
    fn fire(&mut self, source: Source, [number, index, squeeze, expand]: [usize; 4], x: VertexId) -> Result<VertexId> {
        let squeeze_name = if source == Source::Torchvision { "squeeze" } else { "squeeze1x1" };
        let mut part = |name: &str, tensor: &str, x, m, kernel: usize| {
            let window = Square { kernel, stride: 1, padding: Padding::Each(kernel / 2) };
            let tensor = source.fire(number, index, tensor);
            let y = self.conv_bias(&format!("fire{number}/{name}"), &tensor, x, m, window)?;
            self.relu(&format!("fire{number}/relu_{name}"), y)
        };
        let x = part("squeeze1x1", squeeze_name, x, squeeze, 1)?;
        let a = part("expand1x1", "expand1x1", x, expand, 1)?;
        let b = part("expand3x3", "expand3x3", x, expand, 3)?;
        self.g.add(format!("fire{number}/concat"), Concat { axis: 1 }, &[a, b])
    }
}
