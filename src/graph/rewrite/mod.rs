//! Rewrites from the graph a user sees to the one that runs. Each rule builds a new graph; names of values that survive are kept.

mod batch_norm;
mod constants;
mod fusion;
mod layout;
mod statistics;

use super::{Graph, VertexId};
use crate::error::Result;
pub use statistics::{BatchStatistics, batch_statistics};

/// NHWC everywhere, with conversions only where a value is needed in the source's layout. Gradients are taken of this form.
pub fn lower(graph: &Graph) -> Result<Graph> {
    constants::fold(&layout::to_nhwc(graph)?)
}

/// Batch norm folded into the layer before it, activations and residual sums fused; nothing is left that no output needs.
pub fn fuse(graph: &Graph) -> Result<Graph> {
    let graph = constants::fold(&batch_norm::fold(graph)?)?;
    fusion::fuse(&graph)?.without_dead()
}

impl Graph {
    /// Without vertices that no output needs.
    pub fn without_dead(&self) -> Result<Graph> {
        self.extract(&self.outputs.clone())
    }

    /// How many times each value is read, an output counting as a reader.
    fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.len()];
        let read = self.iter().flat_map(|(_, v)| &v.inputs).chain(&self.outputs);
        read.for_each(|id: &VertexId| readers[id.index()] += 1);
        readers
    }
}
