//! EfficientNet-Lite0 to 4 (Tan & Le 2019 without squeeze-and-excite, with ReLU6 and a fixed stem and head; reference:
//! `efficientnet/lite/efficientnet_lite_builder.py` of github.com/tensorflow/tpu). Checkpoints of `efficientnet_lite_pytorch`
//! and of timm's `tf_efficientnet_lite*` are read.

use std::collections::HashMap;

use super::inverted_residual::{ConvNorm, InvertedResidual};
use super::net::{Net, Padding, Square};
use super::values::{Values, is_counter};
use super::{Architecture, ZooModel, square};
use crate::data::{Fit, Preprocessing, Resample};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Of the batch norms (`efficientnet_lite_builder.py`, `batch_norm_epsilon`).
const EPSILON: f32 = 1e-3;
/// Of the batch norms (`batch_norm_momentum`).
const MOMENTUM: f32 = 0.99;

/// Pixels that the evaluation resizes to beyond the crop: `CROP_PADDING` of `preprocessing.py` when the weights were published,
/// timm's `crop_pct`.
const CROP_PADDING: u32 = 32;

const STEM: usize = 32;
const HEAD: usize = 1280;

/// A stage of Lite0.
struct Stage {
    blocks: usize,
    kernel: usize,
    stride: usize,
    factor: usize,
    channels: usize,
}

const fn stage(blocks: usize, kernel: usize, stride: usize, factor: usize, channels: usize) -> Stage {
    Stage { blocks, kernel, stride, factor, channels }
}

const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];

/// How a member of the family differs from Lite0.
#[derive(Debug, Clone, Copy)]
struct Variant {
    width: f64,
    depth: f64,
    side: u32,
    dropout: f32,
}

/// Table of `efficientnet_lite_params`.
fn variant(architecture: Architecture) -> Option<Variant> {
    let (width, depth, side, dropout) = match architecture {
        Architecture::EfficientnetLite0 => (1.0, 1.0, 224, 0.2),
        Architecture::EfficientnetLite1 => (1.0, 1.1, 240, 0.2),
        Architecture::EfficientnetLite2 => (1.1, 1.2, 260, 0.3),
        Architecture::EfficientnetLite3 => (1.2, 1.4, 280, 0.3),
        Architecture::EfficientnetLite4 => (1.4, 1.8, 300, 0.3),
        _ => return None,
    };
    Some(Variant { width, depth, side, dropout })
}

impl Variant {
    /// Scaled channels: the nearest multiple of 8 that is not more than 10 % below (`round_filters`).
    fn channels(self, channels: usize) -> usize {
        let scaled = channels as f64 * self.width;
        let nearest = ((scaled + 4.0) as usize / 8 * 8).max(8);
        if (nearest as f64) < 0.9 * scaled { nearest + 8 } else { nearest }
    }

    /// Scaled number of blocks; the first and the last stage stay as they are (`round_repeats`, `fix_head_stem`).
    fn blocks(self, stage: usize) -> usize {
        let blocks = STAGES[stage].blocks;
        if stage == 0 || stage == STAGES.len() - 1 { blocks } else { (blocks as f64 * self.depth).ceil() as usize }
    }

    fn preprocessing(self) -> Preprocessing {
        Preprocessing {
            size: square(self.side),
            fit: Fit::Crop,
            crop_fraction: f64::from(self.side) / f64::from(self.side + CROP_PADDING),
            resample: Resample::Bicubic,
            scale: 1.0,
            mean: [127.0; 3],
            std: [128.0; 3],
            ..Preprocessing::default()
        }
    }

    /// All blocks in order, with the names of a checkpoint.
    fn all_blocks(self, naming: Naming) -> Vec<InvertedResidual> {
        let mut blocks = Vec::new();
        for (index, stage) in STAGES.iter().enumerate() {
            for i in 0..self.blocks(index) {
                let number = blocks.len();
                let (expand, depthwise, project) = naming.block(number, [index, i], stage.factor > 1);
                blocks.push(InvertedResidual {
                    name: format!("block{number}"),
                    expand,
                    depthwise,
                    project,
                    window: same(stage.kernel, if i == 0 { stage.stride } else { 1 }),
                    factor: stage.factor,
                    out: self.channels(stage.channels),
                });
            }
        }
        blocks
    }
}

fn same(kernel: usize, stride: usize) -> Square {
    Square { kernel, stride, padding: Padding::Same }
}

/// Whose names a checkpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// `_blocks.3._depthwise_conv`: blocks are counted through.
    Lite,
    /// `blocks.2.0.conv_dw`: blocks are counted per stage.
    Timm,
}

impl Naming {
    fn stem(self) -> ConvNorm {
        match self {
            Self::Lite => ConvNorm::new("_conv_stem", "_bn0"),
            Self::Timm => ConvNorm::new("conv_stem", "bn1"),
        }
    }

    fn head(self) -> ConvNorm {
        match self {
            Self::Lite => ConvNorm::new("_conv_head", "_bn1"),
            Self::Timm => ConvNorm::new("conv_head", "bn2"),
        }
    }

    fn classifier(self) -> &'static str {
        match self {
            Self::Lite => "_fc",
            Self::Timm => "classifier",
        }
    }

    /// The widening if there is one, the filter per channel and the narrowing.
    fn block(self, number: usize, [stage, i]: [usize; 2], wide: bool) -> (Option<ConvNorm>, ConvNorm, ConvNorm) {
        let named = |conv: &str, norm: &str| match self {
            Self::Lite => ConvNorm::new(format!("_blocks.{number}.{conv}"), format!("_blocks.{number}.{norm}")),
            Self::Timm => ConvNorm::new(format!("blocks.{stage}.{i}.{conv}"), format!("blocks.{stage}.{i}.{norm}")),
        };
        match (self, wide) {
            (Self::Lite, _) => {
                let expand = wide.then(|| named("_expand_conv", "_bn0"));
                (expand, named("_depthwise_conv", "_bn1"), named("_project_conv", "_bn2"))
            }
            // timm's block without a widening is another class with its own names.
            (Self::Timm, false) => (None, named("conv_dw", "bn1"), named("conv_pw", "bn2")),
            (Self::Timm, true) => (Some(named("conv_pw", "bn1")), named("conv_dw", "bn2"), named("conv_pwl", "bn3")),
        }
    }
}

/// The member of the family whose every block has the shapes of the checkpoint, without tensors left over.
pub(super) fn detect(shapes: &HashMap<&str, &Shape>) -> Option<Architecture> {
    let has = |tensor: &str, shape: [usize; 4]| {
        shapes.get(format!("{tensor}.weight").as_str()).is_some_and(|s| ***s == shape)
    };
    let counted = shapes.keys().filter(|name| !is_counter(name)).count();
    let naming = [Naming::Lite, Naming::Timm].into_iter().find(|n| has(&n.stem().conv, [STEM, 3, 3, 3]))?;
    Architecture::ALL.into_iter().find(|&architecture| {
        let Some(variant) = variant(architecture) else { return false };
        let mut c = STEM;
        // Stem, head and classifier; squeeze-and-excite would be more.
        let mut tensors = 5 + 5 + 2;
        let fits = variant.all_blocks(naming).iter().all(|block| {
            let mid = c * block.factor;
            let k = block.window.kernel;
            tensors += if block.expand.is_some() { 15 } else { 10 };
            c = block.out;
            has(&block.depthwise.conv, [mid, 1, k, k]) && has(&block.project.conv, [block.out, mid, 1, 1])
        });
        fits && tensors == counted
    })
}

pub(super) fn build(architecture: Architecture, values: Values) -> Result<ZooModel> {
    let Some(variant) = variant(architecture) else {
        return Err(Error::internal(format!("{} is no EfficientNet-Lite", architecture.name())));
    };
    let naming = if values.has("conv_stem.weight") { Naming::Timm } else { Naming::Lite };
    let (mut net, x) = Net::new(values, variant.side, EPSILON)?;
    net.momentum = MOMENTUM;
    let mut x = net.conv_norm_relu6("stem", &naming.stem(), x, STEM, same(3, 2))?;
    for block in variant.all_blocks(naming) {
        x = net.inverted_residual(&block, x)?;
    }
    x = net.conv_norm_relu6("head", &naming.head(), x, HEAD, Square::POINT)?;
    x = net.pooled("avg_pool", x)?;
    x = net.dropout("dropout", x, variant.dropout)?;
    let y = net.predictions(naming.classifier(), x)?;
    net.finish(y, variant.preprocessing())
}
