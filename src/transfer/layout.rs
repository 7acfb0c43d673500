//! In which order the dimensions of a value are.

use crate::graph::{Graph, VertexId};
use crate::ops::{Layout, Op};

/// More channels than this make no image that a network takes.
const IMAGE_CHANNELS: usize = 4;

/// Layout of an image batch: that of the nearest op it comes from that has one, as transposes turn it. An input that nothing
/// else is known of is NCHW where its second dimension looks like colours and its last does not.
pub(super) fn layout_of(graph: &Graph, of: VertexId) -> Layout {
    let mut at = of;
    loop {
        let vertex = graph.get(at);
        match &vertex.op {
            Op::Conv2d(op) => return op.layout,
            Op::DepthwiseConv2d(op) => return op.layout,
            Op::MaxPool(op) => return op.layout,
            Op::AvgPool(op) => return op.layout,
            Op::GlobalAvgPool(op) => return op.layout,
            Op::BatchNorm(op) => return op.layout,
            Op::LayerNorm(op) => return op.layout,
            Op::Transpose(op) if op.perm == [0, 2, 3, 1] => return Layout::Nhwc,
            Op::Transpose(op) if op.perm == [0, 3, 1, 2] => return Layout::Nchw,
            _ => {}
        }
        let is_image = |id: &&VertexId| graph.get(**id).ty.shape.rank() == 4 && !graph.get(**id).is_stored();
        match vertex.inputs.iter().find(is_image) {
            Some(input) => at = *input,
            None => return guessed(&vertex.ty.shape),
        }
    }
}

fn guessed(shape: &[usize]) -> Layout {
    match shape {
        [_, second, _, last] if *second <= IMAGE_CHANNELS && *last > IMAGE_CHANNELS => Layout::Nchw,
        _ => Layout::Nhwc,
    }
}

/// Dimension of the features: the channels of images, else the one behind the batch.
pub(super) fn feature_axis(graph: &Graph, of: VertexId) -> usize {
    if graph.get(of).ty.shape.rank() == 4 { layout_of(graph, of).channel_axis() } else { 1 }
}
