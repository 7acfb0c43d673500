//! ResNet-18 (He et al. 2015, table 1, the basic block of figure 5) with torchvision's names; vertices are called as in
//! torchvision's feature extraction.

use super::ZooModel;
use super::net::{Net, Padding, Square};
use super::values::Values;
use crate::data::Preprocessing;
use crate::error::Result;
use crate::graph::VertexId;
use crate::ops::Add;

/// Channels of the four stages.
const STAGES: [usize; 4] = [64, 128, 256, 512];

/// Blocks of every stage.
const BLOCKS: usize = 2;

/// PyTorch's default.
const EPSILON: f32 = 1e-5;

fn window(kernel: usize, stride: usize) -> Square {
    Square { kernel, stride, padding: Padding::Each(kernel / 2) }
}

pub(super) fn build(values: Values) -> Result<ZooModel> {
    let preprocessing = Preprocessing::default();
    let (mut net, x) = Net::new(values, preprocessing.size.width, EPSILON)?;
    let mut x = net.conv_norm(["conv1", "bn1"], x, STAGES[0], window(7, 2))?;
    x = net.relu("relu", x)?;
    x = net.max_pool("maxpool", x, window(3, 2), false)?;
    for (stage, channels) in STAGES.into_iter().enumerate() {
        for block in 0..BLOCKS {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            x = net.basic_block(&format!("layer{}.{block}", stage + 1), x, channels, stride)?;
        }
    }
    x = net.pooled("avg_pool", x)?;
    let y = net.predictions("fc", x)?;
    net.finish(y, preprocessing)
}

impl Net {
    /// A convolution and its batch norm; vertices and tensors have the same names.
    fn conv_norm(&mut self, [conv, norm]: [&str; 2], x: VertexId, m: usize, window: Square) -> Result<VertexId> {
        let y = self.conv(conv, conv, x, m, window)?;
        self.batch_norm(norm, norm, y)
    }

    /// Two 3×3 convolutions around which the input is added, brought to size by a point convolution where it must be.
    fn basic_block(&mut self, name: &str, x: VertexId, m: usize, stride: usize) -> Result<VertexId> {
        let named = |part: &str| format!("{name}.{part}");
        let y = self.conv_norm([&named("conv1"), &named("bn1")], x, m, window(3, stride))?;
        let y = self.relu(&named("relu"), y)?;
        let y = self.conv_norm([&named("conv2"), &named("bn2")], y, m, window(3, 1))?;
        let mut shortcut = x;
        if stride != 1 || self.channels(x) != m {
            shortcut = self.conv_norm([&named("downsample.0"), &named("downsample.1")], x, m, window(1, stride))?;
        }
        let y = self.g.add(named("add"), Add, &[y, shortcut])?;
        self.relu(&named("relu_1"), y)
    }
}
