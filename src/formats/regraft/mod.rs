//! The project's own format: a safetensors file with the parameters, whose metadata holds the graph.
//!
//! Metadata keys: `regraft.version` (`1`), `regraft.graph` (JSON, see `Document`), `regraft.sha256` (see `seal.rs`; not in every
//! file), and whatever the caller adds. Weights are in canonical layout: convolutions `[kh, kw, c/groups, m]`, depthwise `[kh, kw, c]`, dense `[k, n]`.

mod seal;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::safetensors::{self, FloatType};
use crate::error::{Error, Result, UnsupportedOp};
use crate::graph::{Graph, OutputLoss, Vertex, VertexId};
use crate::ops::Op;
use crate::tensor::Tensor;

const FORMAT: &str = "regraft";
const VERSION_KEY: &str = "regraft.version";
const GRAPH_KEY: &str = "regraft.graph";
const VERSION: &str = "1";

/// The graph as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    vertices: Vec<Entry>,
    /// Positions in `vertices`.
    outputs: Vec<usize>,
}

/// A vertex as JSON; the value of a stored one is the tensor of its name.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    #[serde(flatten)]
    op: Op,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    frozen: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss: Option<OutputLoss>,
}

/// Whether a safetensors file has a graph in its metadata.
pub fn is_regraft(bytes: &[u8]) -> bool {
    // The header lies at the front, so the key is found without reading the tensors.
    let header = bytes.get(8..).and_then(|rest| {
        let len = u64::from_le_bytes(bytes.first_chunk::<8>().copied()?);
        rest.get(..usize::try_from(len).ok()?)
    });
    header.is_some_and(|header| header.windows(VERSION_KEY.len()).any(|w| w == VERSION_KEY.as_bytes()))
}

/// Whether an op is part of a network, and not one that only execution (fused ops) or training makes.
fn is_of_network(op: &Op) -> bool {
    match op {
        Op::Conv2d(op) => op.clamp.is_none() && !op.residual,
        Op::DepthwiseConv2d(op) => op.clamp.is_none(),
        Op::Dense(op) => op.clamp.is_none(),
        Op::BatchNorm(op) => op.clamp.is_none(),
        Op::Input(_) | Op::Parameter(_) | Op::Constant(_) | Op::MatMul(_) | Op::Clip(_) => true,
        Op::Activate(_) | Op::Maximum(_) | Op::Shift(_) | Op::LayerNorm(_) | Op::L2Normalize(_) => true,
        Op::Sigmoid(_) | Op::Add(_) | Op::Multiply(_) | Op::Scale(_) | Op::Concat(_) | Op::Slice(_) | Op::Pad(_) => {
            true
        }
        Op::MaxPool(_) | Op::AvgPool(_) | Op::GlobalAvgPool(_) | Op::Softmax(_) | Op::Dropout(_) => true,
        Op::Reshape(_) | Op::Flatten(_) | Op::Transpose(_) => true,
        _ => false,
    }
}

/// All vertices that are no part of a network at once.
fn only_networks<'a>(vertices: impl Iterator<Item = (&'a str, &'a Op)>) -> Result<()> {
    let foreign = vertices.filter(|(_, op)| !is_of_network(op));
    let foreign: Vec<_> =
        foreign.map(|(name, op)| UnsupportedOp { op: op.name().into(), vertex: name.into() }).collect();
    if foreign.is_empty() { Ok(()) } else { Err(Error::UnsupportedOp(foreign)) }
}

/// Like [`write()`], with a digest of the whole file that [`check`] compares.
///
/// # Errors
/// As [`write()`].
pub fn write_sealed(graph: &Graph, metadata: &BTreeMap<String, String>, dtype: FloatType) -> Result<Vec<u8>> {
    let mut metadata = metadata.clone();
    seal::reserve(&mut metadata);
    let mut bytes = write(graph, &metadata, dtype)?;
    seal::seal(&mut bytes)?;
    Ok(bytes)
}

/// Fails with `integrity` where a file was changed since [`write_sealed`] made it. A file without a digest passes.
pub fn check(bytes: &[u8]) -> Result<()> {
    seal::check(bytes)
}

/// Writes a graph with its weights. `metadata` may not use the keys `regraft.version` and `regraft.graph`.
///
/// # Errors
/// `unsupported-op` for vertices that only execution or training makes.
pub fn write(graph: &Graph, metadata: &BTreeMap<String, String>, dtype: FloatType) -> Result<Vec<u8>> {
    only_networks(graph.iter().map(|(_, v)| (v.name.as_str(), &v.op)))?;
    let entry = |vertex: &Vertex| Entry {
        name: vertex.name.clone(),
        op: vertex.op.clone(),
        inputs: vertex.inputs.iter().map(|i| i.index()).collect(),
        frozen: vertex.frozen,
        layer: vertex.layer.clone(),
        loss: vertex.loss.clone(),
    };
    let document = Document {
        vertices: graph.iter().map(|(_, v)| entry(v)).collect(),
        outputs: graph.outputs().iter().map(|o| o.index()).collect(),
    };
    let json = serde_json::to_string(&document).map_err(|e| Error::internal(e.to_string()))?;
    let mut metadata = metadata.clone();
    metadata.insert(VERSION_KEY.to_owned(), VERSION.to_owned());
    metadata.insert(GRAPH_KEY.to_owned(), json);
    let stored = graph.iter().filter_map(|(_, v)| Some((v.name.clone(), v.value.as_deref()?)));
    let tensors: Vec<(String, &Tensor)> = stored.collect();
    safetensors::write(&tensors, &metadata, dtype)
}

/// Reads what [`write()`] wrote: the graph and the caller's metadata.
///
/// # Errors
/// `format` for bytes that are none, another version, and stored values that are missing; `unsupported-op` for what is no part
/// of a network; `shape` where ops do not fit, `conflict` for two vertices of one name.
pub fn read(bytes: &[u8]) -> Result<(Graph, BTreeMap<String, String>)> {
    let (tensors, mut metadata) = safetensors::read(bytes)?;
    let mut take = |key: &str| metadata.remove(key).ok_or_else(|| bad(format!("metadata '{key}' is missing")));
    let version = take(VERSION_KEY)?;
    if version != VERSION {
        return Err(bad(format!("version {version} is not {VERSION}, the one this build reads")));
    }
    let document: Document = serde_json::from_str(&take(GRAPH_KEY)?).map_err(|e| bad(format!("graph: {e}")))?;
    only_networks(document.vertices.iter().map(|v| (v.name.as_str(), &v.op)))?;
    let mut tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
    let mut graph = Graph::new();
    let mut ids: Vec<VertexId> = Vec::with_capacity(document.vertices.len());
    for entry in document.vertices {
        ids.push(add(&mut graph, entry, &ids, &mut tensors)?);
    }
    let output = |o: usize| ids.get(o).copied().ok_or_else(|| bad(format!("output {o} does not exist")));
    let outputs: Vec<VertexId> = document.outputs.into_iter().map(output).collect::<Result<_>>()?;
    if outputs.is_empty() {
        return Err(bad("the graph has no output"));
    }
    graph.set_outputs(outputs);
    Ok((graph, metadata))
}

fn add(graph: &mut Graph, entry: Entry, ids: &[VertexId], tensors: &mut BTreeMap<String, Tensor>) -> Result<VertexId> {
    let Entry { name, op, inputs, frozen, layer, loss } = entry;
    let input =
        |i: &usize| ids.get(*i).copied().ok_or_else(|| bad(format!("'{name}' reads vertex {i}, not before it")));
    let inputs: Vec<VertexId> = inputs.iter().map(input).collect::<Result<_>>()?;
    let stored = match &op {
        Op::Parameter(p) => Some(p.ty.clone()),
        Op::Constant(c) => Some(c.ty.clone()),
        _ => None,
    };
    let value = match stored {
        Some(ty) => {
            let value = tensors.remove(&name).filter(|v| v.ty() == ty);
            Some(Arc::new(value.ok_or_else(|| bad(format!("the tensor of '{name}' is missing or has another type")))?))
        }
        None => None,
    };
    let id = graph.add(name, op, &inputs)?;
    let vertex = graph.get_mut(id);
    (vertex.frozen, vertex.layer, vertex.loss, vertex.value) = (frozen, layer, loss, value);
    Ok(id)
}

fn bad(reason: impl Into<String>) -> Error {
    Error::format(FORMAT, reason)
}
