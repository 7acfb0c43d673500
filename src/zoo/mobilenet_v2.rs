//! MobileNetV2 1.0 (Sandler et al. 2018, table 2) with the names of torchvision's `mobilenet_v2`.

use super::ZooModel;
use super::inverted_residual::{ConvNorm, InvertedResidual};
use super::net::{Net, Padding, Square};
use super::values::Values;
use crate::data::Preprocessing;
use crate::error::Result;

/// Widening factor, channels, blocks, stride of the first block.
const STAGES: [[usize; 4]; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];

/// PyTorch's default.
const EPSILON: f32 = 1e-5;

fn window(stride: usize) -> Square {
    Square { kernel: 3, stride, padding: Padding::Each(1) }
}

pub(super) fn build(values: Values) -> Result<ZooModel> {
    let preprocessing = Preprocessing::default();
    let (mut net, x) = Net::new(values, preprocessing.size.width, EPSILON)?;
    let mut x = net.conv_norm_relu6("stem", &ConvNorm::new("features.0.0", "features.0.1"), x, 32, window(2))?;
    for block in blocks() {
        x = net.inverted_residual(&block, x)?;
    }
    x = net.conv_norm_relu6("head", &ConvNorm::new("features.18.0", "features.18.1"), x, 1280, Square::POINT)?;
    x = net.pooled("avg_pool", x)?;
    x = net.dropout("dropout", x, 0.2)?;
    let y = net.predictions("classifier.1", x)?;
    net.finish(y, preprocessing)
}

/// The blocks, numbered like torchvision's `features`, from 1.
fn blocks() -> impl Iterator<Item = InvertedResidual> {
    let all = STAGES.into_iter().flat_map(|[factor, out, count, stride]| {
        (0..count).map(move |i| (factor, out, if i == 0 { stride } else { 1 }))
    });
    all.zip(1..).map(|((factor, out, stride), number)| {
        let at = |part: &str| format!("features.{number}.conv.{part}");
        let expand = (factor > 1).then(|| ConvNorm::new(at("0.0"), at("0.1")));
        // Without the widening, what follows moves up one place.
        let (depthwise, project) = match expand {
            Some(_) => (ConvNorm::new(at("1.0"), at("1.1")), ConvNorm::new(at("2"), at("3"))),
            None => (ConvNorm::new(at("0.0"), at("0.1")), ConvNorm::new(at("1"), at("2"))),
        };
        let name = format!("block{number}");
        InvertedResidual { name, expand, depthwise, project, window: window(stride), factor, out }
    })
}
