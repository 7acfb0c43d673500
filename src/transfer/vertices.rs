//! Vertices of the builder, which have no parameters. The last op carries the vertex's name, the others are inner parts.

use super::layer_config::VertexKind;
use super::layout::feature_axis;
use super::parts::Parts;
use crate::error::{Error, Result};
use crate::graph::{Graph, VertexId};
use crate::ops::{Add, Concat, Dim, L2Normalize, Maximum, Multiply, Op, Reshape, Scale, Shift, Slice};

/// ε of `l2Normalize` (Deeplearning4j `L2NormalizeVertex.DEFAULT_EPS`).
const L2_EPSILON: f32 = 1e-8;

/// Appends a vertex without parameters.
///
/// # Errors
/// `conflict` for another number of inputs than it takes, `shape`, `bad-option`.
pub(super) fn add_vertex(g: &mut Graph, name: &str, kind: &VertexKind, inputs: &[VertexId]) -> Result<VertexId> {
    let mut parts = Parts { g, name };
    match kind {
        VertexKind::Add {} => parts.chain("add", &Add.into(), inputs),
        VertexKind::Multiply {} => parts.chain("multiply", &Multiply.into(), inputs),
        VertexKind::Max {} => parts.chain("max", &Maximum.into(), inputs),
        VertexKind::Average {} => {
            let sum = parts.sum(inputs)?;
            parts.last(Scale { factor: 1.0 / inputs.len() as f32 }, &[sum])
        }
        VertexKind::Subtract {} => {
            let &[a, b] = inputs else { return Err(parts.takes("two inputs", inputs)) };
            parts.same_rank("subtract", inputs)?;
            let negative = parts.part("negative", Scale { factor: -1.0 }, &[b])?;
            parts.last(Add, &[a, negative])
        }
        VertexKind::Merge { axis } => {
            let Some(&first) = inputs.first() else { return Err(parts.takes("at least one input", inputs)) };
            let axis = axis.unwrap_or_else(|| feature_axis(parts.g, first));
            if axis == 0 {
                return Err(Error::option("axis", format!("'{name}' cannot merge along the batch, dimension 0")));
            }
            parts.last(Concat { axis }, inputs)
        }
        _ => {
            let &[x] = inputs else { return Err(parts.takes("one input", inputs)) };
            let op = of_one(parts.g, name, kind, x)?;
            parts.last(op, &[x])
        }
    }
}

fn of_one(g: &Graph, name: &str, kind: &VertexKind, x: VertexId) -> Result<Op> {
    Ok(match kind {
        VertexKind::Subset { from, to } => {
            if from > to {
                return Err(Error::option("to", format!("'{name}' ends at {to}, before it starts at {from}")));
            }
            Slice { axis: feature_axis(g, x), start: *from, len: (to - from).saturating_add(1) }.into()
        }
        VertexKind::Scale { factor } => Scale { factor: finite("factor", *factor)? }.into(),
        VertexKind::Shift { by } => Shift { by: finite("by", *by)? }.into(),
        VertexKind::L2Normalize {} => L2Normalize { axis: 1, epsilon: L2_EPSILON }.into(),
        VertexKind::Reshape { shape } => reshape(name, shape)?.into(),
        // The others take several inputs.
        _ => return Err(Error::internal(format!("'{name}' takes several inputs"))),
    })
}

fn finite(option: &'static str, value: f32) -> Result<f32> {
    if value.is_finite() { Ok(value) } else { Err(Error::option(option, format!("a number, not {value}"))) }
}

fn reshape(name: &str, shape: &[i64]) -> Result<Reshape> {
    let wrong = || Error::option("shape", format!("'{name}': positive numbers and at most one −1, not {shape:?}"));
    if shape.iter().filter(|d| **d == -1).count() > 1 {
        return Err(wrong());
    }
    let dim = |d: &i64| match usize::try_from(*d) {
        Ok(extent) if extent > 0 => Ok(Dim::Fixed(extent)),
        _ if *d == -1 => Ok(Dim::Infer),
        _ => Err(wrong()),
    };
    let rest: Vec<Dim> = shape.iter().map(dim).collect::<Result<_>>()?;
    Ok(Reshape { dims: [vec![Dim::Copy], rest].concat() })
}
