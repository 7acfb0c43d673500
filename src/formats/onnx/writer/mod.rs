//! Writes a graph: a node per vertex, weights as initializers in the layouts that ONNX expects.

mod model;
mod nodes;

use std::collections::{BTreeMap, HashMap};

use prost::Message;

use self::model::{attribute, dimensions, f32_tensor};
use super::proto;
use crate::error::{Error, Result};
use crate::graph::{Graph, Vertex, VertexId};
use crate::ops::{Layout, Op};
use crate::tensor::Tensor;

/// Scaling and normalisation put in front of the image input: `x = (pixel·scale − mean) / std` per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Factor of the pixel values.
    pub scale: f32,
    /// Subtracted per channel, in the order of the input's channels.
    pub mean: [f32; 3],
    /// Divided by per channel, in the order of the input's channels.
    pub std: [f32; 3],
}

/// The largest message that protobuf's own libraries read (protobuf documentation, "Proto Limits").
const MAX_BYTES: usize = i32::MAX as usize;

/// Writes a model that any batch runs through.
///
/// Vertices keep their names as nodes and as values; weights lie in the file as `f32`. With `normalization`, the input takes
/// pixels of 0 to 255. What lies in `metadata` is written as the model's properties.
///
/// # Errors
/// `conflict` for a normalisation without an image input, `over-budget` for weights of 2 GiB and more, `internal` for vertices
/// that only execution or training makes.
pub fn write(
    graph: &Graph,
    metadata: &BTreeMap<String, String>,
    normalization: Option<&Normalization>,
) -> Result<Vec<u8>> {
    let mut writer = Writer::new(graph);
    if let Some(normalization) = normalization {
        writer.normalize(normalization)?;
    }
    for (id, vertex) in graph.iter() {
        writer.vertex(id, vertex)?;
    }
    let model = model::model(dimensions(graph)?, graph, metadata, writer.nodes, writer.initializers);
    let needed = model.encoded_len();
    if needed > MAX_BYTES {
        return Err(Error::OverBudget { needed: needed as u64, budget: MAX_BYTES as u64 });
    }
    Ok(model.encode_to_vec())
}

/// How an operator of ONNX lays out a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// As it is.
    Plain,
    /// Filters `[kh, kw, c, m]` as `[m, c, kh, kw]`.
    Filters,
    /// Filters `[kh, kw, c]` as `[c, 1, kh, kw]`.
    ChannelFilters,
}

impl Form {
    fn apply(self, tensor: &Tensor) -> Result<Tensor> {
        match (self, &tensor.shape()[..]) {
            (Self::Filters, [_, _, _, _]) => tensor.permute(&[3, 2, 0, 1]),
            (Self::ChannelFilters, &[kh, kw, c]) => tensor.permute(&[2, 0, 1])?.reshape([c, 1, kh, kw]),
            (Self::Plain, _) => Ok(tensor.clone()),
            (_, _) => Err(Error::internal(format!("filters are {}", tensor.shape()))),
        }
    }
}

struct Writer<'a> {
    graph: &'a Graph,
    nodes: Vec<proto::Node>,
    initializers: Vec<proto::Tensor>,
    /// Names of weights in the file.
    stored: HashMap<(VertexId, Form), String>,
    /// The input that is normalised, and the name of the result.
    normalized: Option<(VertexId, String)>,
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph) -> Self {
        let (nodes, initializers) = (Vec::new(), Vec::new());
        Self { graph, nodes, initializers, stored: HashMap::new(), normalized: None }
    }

    fn node(&mut self, name: &str, op: &str, inputs: Vec<String>, attribute: Vec<proto::Attribute>) {
        self.nodes.push(proto::Node {
            input: inputs,
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: op.to_owned(),
            attribute,
            domain: String::new(),
        });
    }

    /// A name for a value inside of a vertex.
    fn inner(&self, vertex: &str, part: &str) -> String {
        self.graph.free_name(&format!("{vertex}:{part}"))
    }

    /// A small tensor that ONNX takes as an input and a vertex has as an attribute.
    fn own(&mut self, vertex: &str, part: &str, mut tensor: proto::Tensor) -> String {
        tensor.name = self.inner(vertex, part);
        let name = tensor.name.clone();
        self.initializers.push(tensor);
        name
    }

    /// Name of an input's value.
    fn value(&mut self, id: VertexId) -> Result<String> {
        match &self.normalized {
            Some((input, name)) if *input == id => Ok(name.clone()),
            _ if self.graph.get(id).is_stored() => self.stored(id, Form::Plain),
            _ => Ok(self.graph.get(id).name.clone()),
        }
    }

    fn values(&mut self, ids: &[VertexId]) -> Result<Vec<String>> {
        ids.iter().map(|&id| self.value(id)).collect()
    }

    /// Name of a weight in the given form; written when it is first asked for.
    fn stored(&mut self, id: VertexId, form: Form) -> Result<String> {
        if let Some(name) = self.stored.get(&(id, form)) {
            return Ok(name.clone());
        }
        let vertex = self.graph.get(id);
        let no_weight = |reason: &str| Error::Internal { vertex: Some(vertex.name.clone()), reason: reason.into() };
        let tensor = vertex.value.as_ref().ok_or_else(|| no_weight("filters are computed by the network"))?;
        let tensor = form.apply(tensor)?;
        let values = tensor.as_f32().ok_or_else(|| no_weight("stored values are f32"))?;
        // The first form has the name; a weight is hardly ever read in two.
        let first = !self.stored.keys().any(|(other, _)| *other == id);
        let name =
            if first { vertex.name.clone() } else { self.inner(&vertex.name, &format!("{form:?}").to_lowercase()) };
        let written = f32_tensor(&name, tensor.shape(), values);
        self.initializers.push(written);
        self.stored.insert((id, form), name.clone());
        Ok(name)
    }

    /// Multiplies, subtracts and divides between the image input and all that read it.
    fn normalize(&mut self, normalization: &Normalization) -> Result<()> {
        let image = |id: &VertexId| match self.graph.get(*id).ty.shape[..] {
            [_, 3, _, _] => Some((*id, Layout::Nchw)),
            [_, _, _, 3] => Some((*id, Layout::Nhwc)),
            _ => None,
        };
        let mut images = self.graph.inputs().iter().filter_map(image);
        let (Some((input, layout)), None) = (images.next(), images.next()) else {
            return Err(Error::conflict("", "pixels are normalised for networks with exactly one image input"));
        };
        let name = self.graph.get(input).name.clone();
        let channels = match layout {
            Layout::Nchw => vec![1, 3, 1, 1],
            Layout::Nhwc => vec![1, 1, 1, 3],
        };
        let mut value = name.clone();
        for (part, op, operand) in [
            ("scaled", "Mul", f32_tensor("", &[], &[normalization.scale])),
            ("centred", "Sub", f32_tensor("", &channels, &normalization.mean)),
            ("normalized", "Div", f32_tensor("", &channels, &normalization.std)),
        ] {
            let operand = self.own(&name, &format!("{part}_by"), operand);
            let next = self.inner(&name, part);
            self.node(&next, op, vec![value, operand], Vec::new());
            value = next;
        }
        self.normalized = Some((input, value));
        Ok(())
    }

    fn vertex(&mut self, id: VertexId, vertex: &Vertex) -> Result<()> {
        match &vertex.op {
            Op::Input(_) => Ok(()),
            // Written with their readers; what is an output and has none is written here.
            Op::Parameter(_) | Op::Constant(_) if self.graph.outputs().contains(&id) => {
                self.stored(id, Form::Plain).map(|_| ())
            }
            Op::Parameter(_) | Op::Constant(_) => Ok(()),
            op => nodes::write(self, vertex, op),
        }
    }

    /// A node on image batches, with transposes around it where the vertex computes in NHWC.
    fn spatial(
        &mut self,
        vertex: &Vertex,
        layout: Layout,
        op: &str,
        weights: Vec<String>,
        attributes: Vec<proto::Attribute>,
    ) -> Result<()> {
        let image = vertex.inputs.first().ok_or_else(|| Error::internal("a spatial vertex has no input"))?;
        let x = self.value(*image)?;
        let name = &vertex.name;
        if layout == Layout::Nchw || vertex.ty.shape.rank() != 4 {
            self.node(name, op, [vec![x], weights].concat(), attributes);
            return Ok(());
        }
        let (nchw, result) = (self.inner(name, "nchw"), self.inner(name, "result"));
        self.node(&nchw, "Transpose", vec![x], vec![attribute("perm", &[0, 3, 1, 2][..])]);
        self.node(&result, op, [vec![nchw], weights].concat(), attributes);
        self.node(name, "Transpose", vec![result], vec![attribute("perm", &[0, 2, 3, 1][..])]);
        Ok(())
    }
}
