//! Writes a graph as an ONNX model: a node per vertex, under the vertex's name.

mod operators;
mod proto;

use std::collections::{HashMap, HashSet};

use prost::Message;

use self::proto::{dimensions, float_tensor, int, ints, value_info};
use super::Metadata;
use super::names::Names;
use super::proto as onnx;
use crate::error::{Error, Result, UnsupportedOp};
use crate::graph::{Graph, Vertex, VertexId};
use crate::ops::{Layout, Op};
use crate::tensor::Tensor;

/// Scaling and normalisation put in front of the image input: `x = (pixel·scale − mean) / std` per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Factor of the pixel values.
    pub scale: f32,
    /// Subtracted per channel.
    pub mean: [f32; 3],
    /// Divided by per channel.
    pub std: [f32; 3],
}

/// Operator set and IR version: of 2022, which all current runtimes read (ONNX repository, `docs/Versioning.md`).
const VERSIONS: (i64, i64) = (17, 8);
/// Mish came with this operator set.
const VERSIONS_MISH: (i64, i64) = (18, 8);
/// Gelu came with this operator set.
const VERSIONS_GELU: (i64, i64) = (20, 9);
/// Average pooling with dilation came with this operator set.
const VERSIONS_DILATED_AVERAGE: (i64, i64) = (19, 9);
/// With this operator set, shape inference leaves out windows behind the image as runtimes always did.
const VERSIONS_ROUNDED_UP: (i64, i64) = (22, 10);
/// Name of the open first dimension.
const BATCH: &str = "N";
/// A protobuf message may not be larger (Protocol Buffers, "Proto Limits").
const MAX_BYTES: usize = i32::MAX as usize;

/// Writes a model in `f32`. Inputs and outputs have their vertices' names and an open batch `N`; weights lie in the file itself.
/// With `normalization`, the only input takes pixels of 0 to 255 in the channel order of the network.
///
/// # Errors
/// `unsupported-op` with all vertices that have no ONNX operator; `bad-option` where normalisation is asked for and the
/// network has other inputs than one batch of images in three channels, and for models of more than 2 GiB.
pub fn write(graph: &Graph, metadata: &Metadata, normalization: Option<&Normalization>) -> Result<Vec<u8>> {
    let mut writer = Writer::new(graph);
    if let Some(normalization) = normalization {
        writer.normalize(normalization)?;
    }
    for (id, vertex) in graph.iter() {
        writer.vertex(id, vertex)?;
    }
    if !writer.unsupported.is_empty() {
        return Err(Error::UnsupportedOp(writer.unsupported));
    }
    let model = writer.model(metadata)?;
    if model.encoded_len() > MAX_BYTES {
        return Err(Error::option(
            "format",
            "the model takes more than 2 GiB, the most an ONNX file without external data can hold",
        ));
    }
    Ok(model.encode_to_vec())
}

/// How a stored value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// As it is.
    Plain,
    /// `[kh, kw, c, m]` as `[m, c, kh, kw]`.
    Filters,
    /// `[kh, kw, c]` as `[c, 1, kh, kw]`.
    ChannelFilters,
}

struct Writer<'a> {
    graph: &'a Graph,
    out: onnx::Graph,
    names: Names,
    /// Names of values in the graph's layout, as far as they are written.
    plain: HashMap<VertexId, String>,
    /// Names of NCHW versions of NHWC values.
    nchw: HashMap<VertexId, String>,
    stored: HashMap<(VertexId, Form), String>,
    unsupported: Vec<UnsupportedOp>,
    versions: (i64, i64),
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut names = Names::default();
        // An empty name would be a value that is left out.
        names.unique("");
        let mut writer = Self {
            graph,
            out: onnx::Graph { name: "regraft".into(), ..Default::default() },
            names,
            plain: HashMap::new(),
            nchw: HashMap::new(),
            stored: HashMap::new(),
            unsupported: Vec::new(),
            versions: VERSIONS,
        };
        graph.iter().filter(|(_, v)| !v.name.is_empty()).for_each(|(_, v)| _ = writer.names.unique(&v.name));
        let inputs = graph.inputs().iter().map(|id| (*id, writer.name(*id)));
        writer.plain = inputs.collect();
        writer
    }

    fn name(&self, id: VertexId) -> String {
        let name = &self.graph.get(id).name;
        if name.is_empty() { "_unnamed".into() } else { name.clone() }
    }

    fn free(&mut self, id: VertexId, part: &str) -> String {
        let base = format!("{}:{part}", self.graph.get(id).name);
        self.names.unique(&base)
    }

    fn rank(&self, id: VertexId) -> usize {
        self.graph.get(id).ty.shape.rank()
    }

    fn node(&mut self, op: &str, name: &str, input: Vec<String>, output: &str, attribute: Vec<onnx::Attribute>) {
        let (op_type, name, output) = (op.to_owned(), name.to_owned(), vec![output.to_owned()]);
        self.out.node.push(onnx::Node { input, output, name, op_type, attribute, domain: String::new() });
    }

    /// Name of a stored tensor made for one node.
    fn initializer(&mut self, tensor: onnx::Tensor) -> String {
        let name = self.names.unique(&tensor.name);
        self.out.initializer.push(onnx::Tensor { name: name.clone(), ..tensor });
        name
    }

    /// Name of a value in the graph's layout.
    fn value(&mut self, id: VertexId) -> Result<String> {
        if self.graph.get(id).is_stored() {
            return self.weights(id, Form::Plain);
        }
        if let Some(name) = self.plain.get(&id) {
            return Ok(name.clone());
        }
        let nchw = self.nchw.get(&id).cloned();
        let nchw =
            nchw.ok_or_else(|| Error::internal(format!("'{}' is read before it is written", self.graph.get(id).name)))?;
        let (node, name) = (self.free(id, "nhwc"), self.name(id));
        self.node("Transpose", &node, vec![nchw], &name, vec![ints("perm", &[0, 2, 3, 1])]);
        self.plain.insert(id, name.clone());
        Ok(name)
    }

    /// Name of an image batch in NCHW.
    fn image(&mut self, id: VertexId, layout: Layout) -> Result<String> {
        if layout == Layout::Nchw {
            return self.value(id);
        }
        if let Some(name) = self.nchw.get(&id) {
            return Ok(name.clone());
        }
        let (value, name) = (self.value(id)?, self.free(id, "nchw"));
        self.node("Transpose", &name, vec![value], &name, vec![ints("perm", &[0, 3, 1, 2])]);
        self.nchw.insert(id, name.clone());
        Ok(name)
    }

    /// Name for the result of an op of the layout.
    fn result(&mut self, id: VertexId, layout: Layout) -> String {
        let name = if layout == Layout::Nchw { self.name(id) } else { self.free(id, "nchw") };
        let names = if layout == Layout::Nchw { &mut self.plain } else { &mut self.nchw };
        names.insert(id, name.clone());
        name
    }

    /// Name of a stored value in the given form.
    fn weights(&mut self, id: VertexId, form: Form) -> Result<String> {
        if let Some(name) = self.stored.get(&(id, form)) {
            return Ok(name.clone());
        }
        let vertex = self.graph.get(id);
        let fail = |why: &str| Error::Internal { vertex: Some(vertex.name.clone()), reason: why.into() };
        let value = vertex.value.as_deref().ok_or_else(|| fail("weights of a convolution are not stored"))?;
        let turned = match form {
            Form::Plain => None,
            Form::Filters => Some(value.permute(&[3, 2, 0, 1])?),
            Form::ChannelFilters => {
                let [kh, kw, c] = value.shape()[..] else { return Err(fail("filters have 3 dimensions")) };
                Some(value.permute(&[2, 0, 1])?.reshape([c, 1, kh, kw])?)
            }
        };
        // The first form has the vertex's name.
        let is_first = !self.stored.keys().any(|(stored, _)| *stored == id);
        let name = if is_first { self.name(id) } else { self.free(id, "turned") };
        let tensor: &Tensor = turned.as_ref().unwrap_or(value);
        let elements = tensor.as_f32().ok_or_else(|| fail("weights are f32"))?;
        self.out.initializer.push(float_tensor(name.clone(), tensor.shape(), elements));
        self.stored.insert((id, form), name.clone());
        Ok(name)
    }

    /// Scaling and normalisation of the only input; its readers get the result.
    fn normalize(&mut self, normalization: &Normalization) -> Result<()> {
        let shapes: Vec<&[usize]> = self.graph.inputs().iter().map(|id| &*self.graph.get(*id).ty.shape).collect();
        let per_channel: &[usize] = match shapes.as_slice() {
            [[_, 3, _, _]] => &[3, 1, 1],
            [[_, _, _, 3]] => &[3],
            _ => {
                let reason = "the network's inputs are not one batch of images in three channels";
                return Err(Error::option("includePreprocessing", reason));
            }
        };
        let input = self.graph.inputs()[0];
        let mut x = self.name(input);
        let Normalization { scale, mean, std } = normalization;
        let steps: [(&str, &str, &[usize], &[f32]); 3] = [
            ("Mul", "scaled", &[], &[*scale]),
            ("Sub", "centred", per_channel, mean),
            ("Div", "normalized", per_channel, std),
        ];
        for (op, part, shape, values) in steps {
            let name = self.free(input, part);
            let operand = self.initializer(float_tensor(format!("{name}.by"), shape, values));
            self.node(op, &name, vec![x, operand], &name, vec![]);
            x = name;
        }
        self.plain.insert(input, x);
        Ok(())
    }

    fn vertex(&mut self, id: VertexId, vertex: &Vertex) -> Result<()> {
        if vertex.is_stored() || matches!(vertex.op, Op::Input(_)) {
            return Ok(());
        }
        if !self.operator(id, vertex)? {
            self.unsupported.push(UnsupportedOp { op: vertex.op.name().into(), vertex: vertex.name.clone() });
            // The rest is gone through, to find all of them.
            self.plain.insert(id, vertex.name.clone());
        }
        Ok(())
    }

    fn model(mut self, metadata: &Metadata) -> Result<onnx::Model> {
        let (shapes, two) = (self.graph.symbolic_shapes()?, self.graph.with_batch(2)?);
        let info = |id: VertexId, name| value_info(name, dimensions(&shapes[id.index()], &two.get(id).ty.shape, BATCH));
        for &id in self.graph.inputs() {
            let name = self.name(id);
            self.out.input.push(info(id, name));
        }
        let mut written: HashSet<VertexId> = self.graph.inputs().iter().copied().collect();
        for &id in self.graph.outputs() {
            let mut name = self.value(id)?;
            // Inputs, weights and a value's second name need a node of their own.
            if !written.insert(id) || self.graph.get(id).is_stored() {
                let output = self.free(id, "output");
                self.node("Identity", &output, vec![name], &output, vec![]);
                name = output;
            }
            self.out.output.push(info(id, name));
        }
        let (version, ir_version) = self.versions;
        Ok(onnx::Model {
            ir_version: Some(ir_version),
            producer_name: "regraft".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.out),
            opset_import: vec![onnx::OperatorSet { domain: String::new(), version }],
            metadata_props: metadata.iter().map(|(k, v)| onnx::Entry { key: k.clone(), value: v.clone() }).collect(),
        })
    }
}

fn axis(value: usize) -> onnx::Attribute {
    int("axis", i64::try_from(value).unwrap_or(i64::MAX))
}
