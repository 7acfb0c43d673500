//! A layer or vertex of the API as several vertices of the graph.

use crate::error::{Error, Result};
use crate::graph::{Graph, VertexId};
use crate::ops::{Add, Op};

/// Appends the vertices of one layer. Errors name the layer, whatever its inner parts are called.
pub(super) struct Parts<'a> {
    pub(super) g: &'a mut Graph,
    pub(super) name: &'a str,
}

impl Parts<'_> {
    /// An inner part of the layer.
    pub(super) fn part(&mut self, part: &str, op: impl Into<Op>, inputs: &[VertexId]) -> Result<VertexId> {
        let name = self.g.free_name(&format!("{}/{part}", self.name));
        let id = self.g.add(name, op, inputs).map_err(|e| self.named(e))?;
        self.g.get_mut(id).layer = Some(self.name.to_owned());
        Ok(id)
    }

    /// The vertex that carries the layer's name.
    pub(super) fn last(&mut self, op: impl Into<Op>, inputs: &[VertexId]) -> Result<VertexId> {
        self.g.add(self.name, op, inputs)
    }

    fn named(&self, error: Error) -> Error {
        match error {
            Error::Shape { op, reason, inputs, .. } => {
                Error::Shape { vertex: self.name.to_owned(), op, reason, inputs }
            }
            other => other,
        }
    }

    /// An op of two applied to all inputs in turn.
    pub(super) fn chain(&mut self, op_name: &'static str, op: &Op, inputs: &[VertexId]) -> Result<VertexId> {
        let [first, inner @ .., last] = inputs else { return Err(self.takes("at least two inputs", inputs)) };
        self.same_rank(op_name, inputs)?;
        let mut so_far = *first;
        for input in inner {
            so_far = self.part(op_name, op.clone(), &[so_far, *input])?;
        }
        self.last(op.clone(), &[so_far, *last])
    }

    /// Sum of all inputs as an inner part.
    pub(super) fn sum(&mut self, inputs: &[VertexId]) -> Result<VertexId> {
        let [first, others @ ..] = inputs else { return Err(self.takes("at least two inputs", inputs)) };
        if others.is_empty() {
            return Err(self.takes("at least two inputs", inputs));
        }
        self.same_rank("average", inputs)?;
        others.iter().try_fold(*first, |sum, input| self.part("sum", Add, &[sum, *input]))
    }

    /// Without this, `[n, c]` would be broadcast along the batch of an image where sizes happen to fit.
    pub(super) fn same_rank(&self, op: &'static str, inputs: &[VertexId]) -> Result<()> {
        let shapes: Vec<_> = inputs.iter().map(|id| self.g.get(*id).ty.shape.clone()).collect();
        if shapes.windows(2).all(|pair| pair[0].rank() == pair[1].rank()) {
            return Ok(());
        }
        let reason = "its inputs have different numbers of dimensions".into();
        Err(Error::Shape { vertex: self.name.to_owned(), op, reason, inputs: shapes })
    }

    pub(super) fn takes(&self, what: &str, inputs: &[VertexId]) -> Error {
        Error::conflict(self.name, format!("it takes {what}, not {}", inputs.len()))
    }

    /// A shape error about the layer's input.
    pub(super) fn mismatch(&self, op: &'static str, reason: impl Into<String>, x: VertexId) -> Error {
        let inputs = vec![self.g.get(x).ty.shape.clone()];
        Error::Shape { vertex: self.name.to_owned(), op, reason: reason.into(), inputs }
    }
}
