//! Vertices that read only constants are computed once.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::{self, View};
use crate::tensor::Tensor;

/// Replaces every vertex whose inputs are all constant by its value.
pub(super) fn fold(graph: &Graph) -> Result<Graph> {
    graph.rebuild(|new, vertex, inputs| {
        let foldable = !inputs.is_empty() && inputs.iter().all(|i| new.get(*i).is_constant());
        let id = new.add_like(vertex, vertex.op.clone(), inputs)?;
        if !foldable {
            return Ok(id);
        }
        let value = evaluate(new, id)?;
        // The vertex keeps its name: the constant takes its place.
        new.replace_by_constant(id, value);
        Ok(id)
    })
}

fn evaluate(graph: &Graph, id: crate::graph::VertexId) -> Result<Arc<Tensor>> {
    let vertex = graph.get(id);
    let values: Vec<&Tensor> = vertex.inputs.iter().filter_map(|i| graph.get(*i).value.as_deref()).collect();
    let views: Option<Vec<View<'_>>> =
        values.iter().map(|t| t.as_f32().map(|data| View { shape: t.shape(), data })).collect();
    let views = views.filter(|v| v.len() == vertex.inputs.len()).ok_or_else(|| Error::Internal {
        vertex: Some(vertex.name.clone()),
        reason: "a constant input has no f32 value".into(),
    })?;
    Ok(Arc::new(Tensor::f32(vertex.ty.shape.clone(), ops::evaluate(&vertex.op, &views, vertex.ty.shape.len()))?))
}
