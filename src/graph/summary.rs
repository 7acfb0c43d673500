//! What a person sees of a graph: one row per layer of the source.

use serde::{Deserialize, Serialize};

use super::{Graph, VertexId};
use crate::error::Result;
use crate::ops::Op;

/// One row of the summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VertexSummary {
    /// The vertex's name.
    pub name: String,
    /// Its op.
    #[serde(rename = "type")]
    pub kind: String,
    /// Names of the visible vertices it reads.
    pub inputs: Vec<String>,
    /// Shape in the source's layout; `None` for the batch.
    pub output_shape: Vec<Option<usize>>,
    /// Number of parameter elements it owns.
    pub parameters: usize,
    /// Whether it is frozen.
    pub frozen: bool,
    /// Multiply-accumulates for one image.
    pub macs: u64,
}

impl Graph {
    /// One row per visible vertex. Parameters and inner parts count for the layer they belong to; a shared parameter for its first reader.
    pub fn summary(&self) -> Result<Vec<VertexSummary>> {
        let shapes = self.symbolic_shapes()?;
        let single = self.with_batch(1)?;
        let mut rows: Vec<VertexSummary> = Vec::new();
        let mut row_of = vec![usize::MAX; self.len()];
        let mut counted = vec![false; self.len()];
        // A layer's inner parts come before the vertex that carries its name.
        let mut pending: Vec<VertexId> = Vec::new();
        for (id, vertex) in self.iter().filter(|(_, v)| !v.is_stored()) {
            pending.push(id);
            if vertex.layer.is_some() {
                continue;
            }
            let parts: Vec<VertexId> = self.parts_of(id, &pending);
            pending.retain(|p| !parts.contains(p));
            let mut row = VertexSummary {
                name: vertex.name.clone(),
                kind: vertex.op.label().to_owned(),
                inputs: Vec::new(),
                output_shape: shapes[id.index()].clone(),
                parameters: 0,
                frozen: vertex.frozen,
                macs: 0,
            };
            for part in &parts {
                row_of[part.index()] = rows.len();
                row.macs += single.macs(*part);
                for input in &self.get(*part).inputs {
                    if self.get(*input).is_stored() {
                        if self.is_parameter(*input) && !std::mem::replace(&mut counted[input.index()], true) {
                            row.parameters += self.get(*input).ty.shape.len();
                        }
                    } else if !parts.contains(input) && row_of[input.index()] < rows.len() {
                        row.inputs.push(rows[row_of[input.index()]].name.clone());
                    }
                }
            }
            if parts.len() > 1 && vertex.loss.is_some() {
                row.kind = "output".to_owned();
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn parts_of(&self, id: VertexId, pending: &[VertexId]) -> Vec<VertexId> {
        let name = self.get(id).name.as_str();
        pending.iter().copied().filter(|p| *p == id || self.get(*p).layer.as_deref() == Some(name)).collect()
    }

    fn is_parameter(&self, id: VertexId) -> bool {
        matches!(self.get(id).op, Op::Parameter(_))
    }

    /// Multiply-accumulates of one vertex at the graph's batch.
    pub fn macs(&self, id: VertexId) -> u64 {
        let vertex = self.get(id);
        let inputs: Vec<_> = vertex.inputs.iter().map(|i| &self.get(*i).ty).collect();
        vertex.op.macs(&inputs, &vertex.ty)
    }

    /// Elements of all parameters, and of those that training changes.
    pub fn count_parameters(&self) -> (usize, usize) {
        let parameters = self.iter().filter(|(id, _)| self.is_parameter(*id)).map(|(_, v)| v);
        parameters.fold((0, 0), |(total, trainable), v| {
            let len = v.ty.shape.len();
            (total + len, trainable + if v.is_trainable() { len } else { 0 })
        })
    }
}

/// The rows as an aligned table; totals last.
pub fn print_summary(rows: &[VertexSummary], total: usize, trainable: usize) -> String {
    let shape = |row: &VertexSummary| {
        let dims: Vec<_> =
            row.output_shape.iter().map(|d| d.map_or_else(|| "N".to_owned(), |d| d.to_string())).collect();
        format!("[{}]", dims.join(", "))
    };
    let width =
        |f: &dyn Fn(&VertexSummary) -> usize, title: &str| rows.iter().map(f).max().unwrap_or(0).max(title.len());
    let name = width(&|r| r.name.chars().count(), "name");
    let kind = width(&|r| r.kind.len(), "type");
    let out = width(&|r| shape(r).len(), "output");
    let mut text = format!("{:name$}  {:kind$}  {:out$}  {:>12}  frozen\n", "name", "type", "output", "parameters");
    for row in rows {
        let frozen = if row.frozen { "yes" } else { "" };
        text +=
            &format!("{:name$}  {:kind$}  {:out$}  {:>12}  {frozen}", row.name, row.kind, shape(row), row.parameters);
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text + &format!("total {total}, trainable {trainable}, frozen {}\n", total - trainable)
}
