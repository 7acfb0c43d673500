//! VGG-16 (Simonyan & Zisserman 2014, configuration D) with torchvision's tensors. Layers are called as in Keras, and each
//! of them ends with its activation there.

use super::ZooModel;
use super::net::{Net, Padding, Square};
use super::values::Values;
use crate::data::Preprocessing;
use crate::error::Result;
use crate::graph::VertexId;

/// Convolutions and their channels in each block.
const BLOCKS: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];

/// Columns of the two hidden layers.
const HIDDEN: usize = 4096;

/// Of torchvision's classifier.
const DROPOUT: f32 = 0.5;

pub(super) fn build(values: Values) -> Result<ZooModel> {
    let preprocessing = Preprocessing::default();
    let (mut net, mut x) = Net::new(values, preprocessing.size.width, 0.0)?;
    // Place in torchvision's `features`, which counts convolutions, activations and poolings.
    let mut index = 0;
    for ((convs, channels), block) in BLOCKS.into_iter().zip(1..) {
        for conv in 1..=convs {
            x = net.conv_layer(&format!("block{block}_conv{conv}"), &format!("features.{index}"), x, channels)?;
            index += 2;
        }
        let window = Square { kernel: 2, stride: 2, padding: Padding::Each(0) };
        x = net.max_pool(&format!("block{block}_pool"), x, window, false)?;
        index += 1;
    }
    x = net.flatten(x)?;
    x = net.dense_layer("fc1", "classifier.0", x, HIDDEN)?;
    x = net.dropout("dropout1", x, DROPOUT)?;
    x = net.dense_layer("fc2", "classifier.3", x, HIDDEN)?;
    x = net.dropout("dropout2", x, DROPOUT)?;
    let y = net.predictions("classifier.6", x)?;
    net.finish(y, preprocessing)
}

impl Net {
    /// A 3×3 convolution that keeps the size, with its activation.
    fn conv_layer(&mut self, name: &str, tensor: &str, x: VertexId, m: usize) -> Result<VertexId> {
        let window = Square { kernel: 3, stride: 1, padding: Padding::Each(1) };
        let y = self.conv_bias(&format!("{name}/conv"), tensor, x, m, window)?;
        self.set_part(y, name);
        self.relu(name, y)
    }

    /// A dense layer with its activation.
    fn dense_layer(&mut self, name: &str, tensor: &str, x: VertexId, n: usize) -> Result<VertexId> {
        let y = self.dense(&format!("{name}/dense"), tensor, x, n)?;
        self.set_part(y, name);
        self.relu(name, y)
    }
}
