//! Cutting a graph in two at the frozen boundary, and rebuilding it for another batch.

use super::{Graph, Vertex, VertexId};
use crate::error::{Error, Result};
use crate::ops::{Input, Op};
use crate::tensor::Shape;

/// A graph cut at its frozen boundary.
#[derive(Debug, Clone)]
pub struct Split {
    /// The frozen part; its outputs are the boundary, in the order of the features.
    pub trunk: Graph,
    /// The rest; its inputs are named after the boundary vertices, in the same order.
    pub tail: Graph,
    /// Names of the boundary vertices.
    pub boundary: Vec<String>,
}

impl Graph {
    /// The same graph with every batched input set to `batch` images. Types are inferred anew.
    pub fn with_batch(&self, batch: usize) -> Result<Self> {
        self.rebuild(|graph, vertex, inputs| {
            let op = match &vertex.op {
                Op::Input(input) if input.batched => Op::Input(input.with_batch(batch)),
                op => op.clone(),
            };
            graph.add_like(vertex, op, inputs)
        })
    }

    /// The same graph with everything frozen: in inference no parameter changes, so all of them are constants.
    #[must_use]
    pub fn for_inference(&self) -> Self {
        let mut graph = self.clone();
        graph.vertices.iter_mut().for_each(|v| v.frozen = true);
        graph
    }

    /// Copies all vertices through `copy`, which gets the graph built so far, the old vertex (with its old ids) and the new ids
    /// of its inputs.
    pub(crate) fn rebuild(
        &self,
        mut copy: impl FnMut(&mut Graph, &Vertex, &[VertexId]) -> Result<VertexId>,
    ) -> Result<Self> {
        let mut graph = Graph::new();
        let mut ids = Vec::with_capacity(self.len());
        for (_, vertex) in self.iter() {
            let inputs: Vec<_> = vertex.inputs.iter().map(|i| ids[i.index()]).collect();
            ids.push(copy(&mut graph, vertex, &inputs)?);
        }
        graph.outputs = self.outputs.iter().map(|o| ids[o.index()]).collect();
        Ok(graph)
    }

    /// Only what the given vertices need, with these as outputs.
    pub(crate) fn extract(&self, outputs: &[VertexId]) -> Result<Self> {
        let needed = self.ancestors(outputs);
        let mut graph = Graph::new();
        let mut ids = vec![None; self.len()];
        for (id, vertex) in self.iter().filter(|(id, _)| needed[id.index()]) {
            let inputs = mapped(&vertex.inputs, &ids)?;
            ids[id.index()] = Some(graph.add_like(vertex, vertex.op.clone(), &inputs)?);
        }
        graph.outputs = mapped(outputs, &ids)?;
        Ok(graph)
    }

    /// Vertices that are frozen together with all their ancestors and depend on an input: what runs once per image.
    fn trunk_mask(&self) -> Vec<bool> {
        let mut trunk = vec![false; self.len()];
        for (id, vertex) in self.iter() {
            let is_source = matches!(vertex.op, Op::Input(_) | Op::Constant(_));
            trunk[id.index()] = (vertex.frozen || is_source) && vertex.inputs.iter().all(|i| trunk[i.index()]);
        }
        trunk
    }

    /// Cuts at the frozen set. Boundary vertices are the trunk's values (raw inputs too) that the rest reads or that are outputs,
    /// in topological order. Where everything is frozen, the boundary is the list of outputs and the tail computes nothing.
    pub fn split(&self) -> Result<Split> {
        let trunk_mask = self.trunk_mask();
        let from_input = self.descendants(self.iter().map(|(_, v)| matches!(v.op, Op::Input(_))).collect());
        let crosses: Vec<bool> = {
            let mut crosses = vec![false; self.len()];
            for (_, vertex) in self.iter().filter(|(id, _)| !trunk_mask[id.index()]) {
                vertex.inputs.iter().for_each(|i| crosses[i.index()] = trunk_mask[i.index()]);
            }
            self.outputs.iter().for_each(|o| crosses[o.index()] |= trunk_mask[o.index()]);
            crosses
        };
        let boundary: Vec<VertexId> =
            self.iter().map(|(id, _)| id).filter(|id| crosses[id.index()] && from_input[id.index()]).collect();
        if boundary.is_empty() {
            return Err(Error::conflict("", "no value crosses from the frozen part to the rest"));
        }
        Ok(Split {
            trunk: self.extract(&boundary)?,
            tail: self.tail(&boundary, &trunk_mask)?,
            boundary: boundary.iter().map(|id| self.get(*id).name.clone()).collect(),
        })
    }

    fn tail(&self, boundary: &[VertexId], trunk_mask: &[bool]) -> Result<Graph> {
        let mut graph = Graph::new();
        let mut ids = vec![None; self.len()];
        for &id in boundary {
            let vertex = self.get(id);
            let ty = vertex.ty.clone();
            ids[id.index()] = Some(graph.input(vertex.name.clone(), ty, true)?);
        }
        let needed = self.ancestors(&self.outputs);
        for (id, vertex) in self.iter() {
            // Stored values below the boundary stay behind, unless the tail reads them too (a shared parameter).
            let inside = !trunk_mask[id.index()] || vertex.is_stored();
            if ids[id.index()].is_some() || !needed[id.index()] || !inside {
                continue;
            }
            let inputs = mapped(&vertex.inputs, &ids)?;
            ids[id.index()] = Some(graph.add_like(vertex, vertex.op.clone(), &inputs)?);
        }
        graph.outputs = mapped(&self.outputs, &ids)?;
        let outputs = graph.outputs.clone();
        let inputs: Vec<_> = graph.inputs.iter().chain(&outputs).copied().collect();
        let mut tail = graph.extract(&inputs)?;
        tail.outputs = outputs.iter().filter_map(|o| tail.find(&graph.get(*o).name)).collect();
        Ok(tail)
    }

    /// Shapes with `None` where a dimension follows the batch: found by inferring at two batch sizes.
    pub fn symbolic_shapes(&self) -> Result<Vec<Vec<Option<usize>>>> {
        let (two, three) = (self.with_batch(2)?, self.with_batch(3)?);
        let dims = |a: &Shape, b: &Shape| a.iter().zip(b.iter()).map(|(x, y)| (x == y).then_some(*x)).collect();
        Ok(two.iter().zip(three.iter()).map(|((_, a), (_, b))| dims(&a.ty.shape, &b.ty.shape)).collect())
    }
}

impl Input {
    fn with_batch(&self, batch: usize) -> Self {
        let mut shape = self.ty.shape.to_vec();
        if let Some(first) = shape.first_mut() {
            *first = batch;
        }
        let ty = crate::tensor::TensorType { shape: shape.into(), ..self.ty.clone() };
        Self { ty, ..self.clone() }
    }
}

fn mapped(old: &[VertexId], ids: &[Option<VertexId>]) -> Result<Vec<VertexId>> {
    old.iter().map(|i| ids[i.index()].ok_or_else(|| Error::internal("an input was left behind by a cut"))).collect()
}
