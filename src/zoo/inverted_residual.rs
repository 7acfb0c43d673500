use super::net::{Net, Square};
use crate::error::Result;
use crate::graph::VertexId;
use crate::ops::Add;

/// Names of a convolution and of the batch norm behind it in the checkpoint.
#[derive(Debug, Clone)]
pub(super) struct ConvNorm {
    pub(super) conv: String,
    pub(super) norm: String,
}

impl ConvNorm {
    pub(super) fn new(conv: impl Into<String>, norm: impl Into<String>) -> Self {
        Self { conv: conv.into(), norm: norm.into() }
    }
}

/// Widen by a point convolution, filter each channel, narrow again without activation; add the input where shapes allow
/// (Sandler et al. 2018, section 3.3 and table 1).
#[derive(Debug, Clone)]
pub(super) struct InvertedResidual {
    /// Prefix of the vertices.
    pub(super) name: String,
    /// The widening; absent where the factor is 1.
    pub(super) expand: Option<ConvNorm>,
    pub(super) depthwise: ConvNorm,
    pub(super) project: ConvNorm,
    /// Window of the filter per channel.
    pub(super) window: Square,
    /// Factor of the widening.
    pub(super) factor: usize,
    /// Channels of the result.
    pub(super) out: usize,
}

impl Net {
    /// The vertices `NAME/conv`, `NAME/bn` and `NAME/relu6`.
    pub(super) fn conv_norm_relu6(
        &mut self,
        name: &str,
        t: &ConvNorm,
        x: VertexId,
        m: usize,
        w: Square,
    ) -> Result<VertexId> {
        let x = self.conv(&format!("{name}/conv"), &t.conv, x, m, w)?;
        self.norm_relu6(name, t, x)
    }

    fn norm_relu6(&mut self, name: &str, tensors: &ConvNorm, x: VertexId) -> Result<VertexId> {
        let x = self.batch_norm(&format!("{name}/bn"), &tensors.norm, x)?;
        self.relu6(&format!("{name}/relu6"), x)
    }

    /// The vertices `NAME/expand/…`, `NAME/depthwise/…`, `NAME/project/…` and `NAME/add`.
    pub(super) fn inverted_residual(&mut self, block: &InvertedResidual, x: VertexId) -> Result<VertexId> {
        let name = &block.name;
        let mut y = x;
        if let Some(expand) = &block.expand {
            let mid = self.channels(x) * block.factor;
            y = self.conv_norm_relu6(&format!("{name}/expand"), expand, y, mid, Square::POINT)?;
        }
        y = self.depthwise(&format!("{name}/depthwise/conv"), &block.depthwise.conv, y, block.window)?;
        y = self.norm_relu6(&format!("{name}/depthwise"), &block.depthwise, y)?;
        y = self.conv(&format!("{name}/project/conv"), &block.project.conv, y, block.out, Square::POINT)?;
        y = self.batch_norm(&format!("{name}/project/bn"), &block.project.norm, y)?;
        if block.window.stride == 1 && self.channels(x) == block.out {
            y = self.g.add(format!("{name}/add"), Add, &[x, y])?;
        }
        Ok(y)
    }
}
