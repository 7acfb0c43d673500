//! Where a network can be cut so that one tensor crosses, and what each cut costs.

use serde::Serialize;

use super::{Graph, VertexId};
use crate::error::Result;
use crate::ops::Op;

/// A vertex through which everything passes on its way from the inputs to the outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CutPoint {
    /// Name of the vertex.
    pub name: String,
    /// Shape of its value for one image, without the batch, in the source's layout.
    pub feature_shape: Vec<usize>,
    /// Bytes of that value as `f32`.
    pub feature_bytes_per_image: usize,
    /// Multiply-accumulates from the inputs up to it, for one image.
    pub trunk_macs: u64,
    /// Elements of the parameters that are read after it and not before.
    pub head_parameters: usize,
}

impl Graph {
    /// The articulation points between inputs and outputs, inputs, outputs and inner parts of layers aside, in topological order.
    /// Nothing is run or allocated.
    pub fn cut_points(&self) -> Result<Vec<CutPoint>> {
        let single = self.with_batch(1)?;
        let shapes = self.symbolic_shapes()?;
        let needed = self.ancestors(&self.outputs);
        let from_input = self.descendants(self.iter().map(|(_, v)| matches!(v.op, Op::Input(_))).collect());
        let carries = |id: &VertexId| needed[id.index()] && from_input[id.index()];
        let last_reader = self.last_readers(&needed);
        let first_reader = self.first_readers(&needed);
        let parameters: Vec<(usize, usize)> = self
            .iter()
            .filter(|(id, v)| needed[id.index()] && matches!(v.op, Op::Parameter(_)))
            .map(|(id, v)| (first_reader[id.index()], v.ty.shape.len()))
            .collect();
        let mut points = Vec::new();
        // Position up to which some value met so far is still read.
        let (mut pending, mut trunk_macs) = (0, 0);
        for (id, vertex) in self.iter().filter(|(id, _)| carries(id)) {
            trunk_macs += single.macs(id);
            // All that came before is an ancestor if nothing else is read later: a vertex that is neither ancestor nor
            // descendant would lie on a way around.
            let alone = pending <= id.index();
            pending = pending.max(last_reader[id.index()]);
            let shape = &shapes[id.index()];
            let hidden = vertex.layer.is_some() || matches!(vertex.op, Op::Input(_)) || self.outputs.contains(&id);
            if !alone || hidden || shape.first() != Some(&None) {
                continue;
            }
            let feature_shape: Vec<usize> = single.get(id).ty.shape.iter().skip(1).copied().collect();
            points.push(CutPoint {
                name: vertex.name.clone(),
                feature_bytes_per_image: feature_shape.iter().product::<usize>() * size_of::<f32>(),
                feature_shape,
                trunk_macs,
                head_parameters: parameters.iter().filter(|(first, _)| *first > id.index()).map(|(_, len)| len).sum(),
            });
        }
        Ok(points)
    }

    /// Position of the last needed vertex that reads each value; an output is read at the very end.
    fn last_readers(&self, needed: &[bool]) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.len()).collect();
        for (id, vertex) in self.iter().filter(|(id, _)| needed[id.index()]) {
            vertex.inputs.iter().for_each(|i| last[i.index()] = id.index());
        }
        self.outputs.iter().for_each(|o| last[o.index()] = self.len());
        last
    }

    /// Position of the first needed vertex that reads each value.
    fn first_readers(&self, needed: &[bool]) -> Vec<usize> {
        let mut first = vec![self.len(); self.len()];
        for (id, vertex) in self.iter().rev().filter(|(id, _)| needed[id.index()]) {
            vertex.inputs.iter().for_each(|i| first[i.index()] = id.index());
        }
        first
    }
}
