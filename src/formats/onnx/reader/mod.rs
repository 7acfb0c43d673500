//! Reads a model: nodes in order, each through the function of its operator.

mod activation;
mod arithmetic;
mod builder;
mod conv;
mod dense;
mod dimensions;
mod integers;
mod node;
mod normalize;
mod pool;
mod shapes;

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message;

use self::builder::{Builder, Step, Stop, Value};
use self::node::Node;
use super::names::Names;
use super::proto::{self, DimensionValue, data_type};
use super::tensor::{self, Files, MAX_RANK};
use super::{Metadata, OPSETS, bad, limits};
use crate::error::{Error, Result, UnsupportedOp};
use crate::graph::{Graph, VertexId};

/// Reads one node.
type Read = fn(&mut Builder, &Node<'_>) -> Step<Value>;

/// Operators of the default domain that are read.
const OPERATORS: &[(&str, Read)] = &[
    ("Add", arithmetic::add),
    ("AveragePool", pool::average_pool),
    ("BatchNormalization", normalize::batch_norm),
    ("Cast", shapes::cast),
    ("Clip", activation::clip_between),
    ("Concat", dimensions::concat),
    ("Constant", shapes::constant),
    ("ConstantOfShape", shapes::constant_of_shape),
    ("Conv", conv::conv),
    ("Div", arithmetic::div),
    ("Dropout", normalize::dropout),
    ("Elu", activation::elu),
    ("Erf", activation::erf),
    ("Flatten", dimensions::flatten),
    ("Gather", shapes::gather),
    ("Gelu", activation::gelu),
    ("Gemm", dense::gemm),
    ("GlobalAveragePool", pool::global_average_pool),
    ("GlobalMaxPool", pool::global_max_pool),
    ("HardSigmoid", activation::hard_sigmoid),
    ("HardSwish", activation::hard_swish),
    ("Identity", dimensions::identity),
    ("LayerNormalization", normalize::layer_norm),
    ("LeakyRelu", activation::leaky_relu),
    ("LpNormalization", normalize::lp_normalization),
    ("MatMul", dense::matmul),
    ("Max", activation::max),
    ("MaxPool", pool::max_pool),
    ("Min", activation::min),
    ("Mish", activation::mish),
    ("Mul", arithmetic::mul),
    ("PRelu", activation::p_relu),
    ("Pad", dimensions::pad),
    ("Reciprocal", activation::reciprocal),
    ("ReduceMean", pool::reduce_mean),
    ("ReduceProd", arithmetic::reduce_prod),
    ("Relu", activation::relu),
    ("Reshape", dimensions::reshape),
    ("Selu", activation::selu),
    ("Shape", shapes::shape),
    ("Sigmoid", activation::sigmoid),
    ("Slice", dimensions::slice),
    ("Softmax", normalize::softmax),
    ("Softplus", activation::softplus),
    ("Softsign", activation::softsign),
    ("Squeeze", dimensions::squeeze),
    ("Sub", arithmetic::sub),
    ("Sum", arithmetic::sum),
    ("Tanh", activation::tanh),
    ("Transpose", dimensions::transpose),
    ("Unsqueeze", dimensions::unsqueeze),
];

/// Which inputs have the batch as their first dimension.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    /// Those that leave it open or say 1, and an input that is the only one.
    Guessed,
    /// Those that leave it open.
    Stated,
}

/// Reads a model and its metadata, in which class names of other tools are found under `regraft.labels`. `files` holds the files with external data by name; others are not looked at.
///
/// The first dimension of an input is taken for the batch where the file leaves it open, where all inputs say 1, and where there
/// is no other input. A network that then does not work for every batch keeps the batches that the file states as numbers.
///
/// # Errors
/// `format` for bytes that are no model, operator sets other than 7 to 22, and missing external data; `unsupported-op` with
/// all operators, attributes and types that are not supported; `shape` where values do not fit.
pub fn read(bytes: &[u8], files: &BTreeMap<String, &[u8]>) -> Result<(Graph, Metadata)> {
    limits::check(bytes)?;
    match read_as(bytes, files, Batch::Guessed) {
        Err(error @ (Error::Shape { .. } | Error::UnsupportedOp(_))) => {
            read_as(bytes, files, Batch::Stated).map_err(|_| error)
        }
        result => result,
    }
}

fn read_as(bytes: &[u8], files: &BTreeMap<String, &[u8]>, batch: Batch) -> Result<(Graph, Metadata)> {
    let model = proto::Model::decode(bytes).map_err(|e| bad(format!("not a whole model: {e}")))?;
    let opset = opset(&model)?;
    let mut metadata: Metadata = model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let graph = model.graph.ok_or_else(|| bad("there is no graph in it"))?;
    let graph = Reader::new(opset, &graph).read(graph, files, batch)?;
    if let Some(labels) = foreign_labels(&metadata, &graph) {
        metadata.insert(LABELS.to_owned(), labels);
    }
    Ok((graph, metadata))
}

/// Key of the class names in the project's own files, and keys that other tools use for a JSON list of them.
const LABELS: &str = "regraft.labels";
const FOREIGN_LABELS: [&str; 3] = ["labels", "names", "classes"];

/// A list of strings from another tool, if there are as many as the first output has columns.
fn foreign_labels(metadata: &Metadata, graph: &Graph) -> Option<String> {
    if metadata.contains_key(LABELS) {
        return None;
    }
    let columns = graph.get(*graph.outputs().first()?).ty.shape.last().copied();
    let text = FOREIGN_LABELS.iter().find_map(|key| metadata.get(*key))?;
    let labels: Vec<String> = serde_json::from_str(text).ok()?;
    (Some(labels.len()) == columns).then(|| text.clone())
}

/// Version of the default operator set.
fn opset(model: &proto::Model) -> Result<i64> {
    let found = model.opset_import.iter().find(|set| is_default(&set.domain));
    let version = found.ok_or_else(|| bad("it names no version of the default operator set"))?.version;
    if OPSETS.contains(&version) {
        return Ok(version);
    }
    Err(bad(format!("it uses operator set {version}; {} to {} are read", OPSETS.start(), OPSETS.end())))
}

fn is_default(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// An extent that the file states.
fn extent(dim: &proto::Dimension) -> Option<usize> {
    match dim.value {
        Some(DimensionValue::Value(extent)) => usize::try_from(extent).ok().filter(|&extent| extent > 0),
        _ => None,
    }
}

fn first_extent(input: &proto::ValueInfo) -> Option<usize> {
    extent(input.ty.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?.dim.first()?)
}

struct Reader {
    opset: i64,
    builder: Builder,
    operators: HashMap<&'static str, Read>,
    values: HashMap<String, Value>,
    /// How often each value is still to be read.
    uses: HashMap<String, usize>,
    defined: HashSet<String>,
    unsupported: Vec<UnsupportedOp>,
    /// Names of the vertices of all nodes.
    names: Vec<String>,
}

impl Reader {
    fn new(opset: i64, graph: &proto::Graph) -> Self {
        let mut names = Names::default();
        let initializers: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        // Inputs keep their names, then nodes, then weights.
        graph.input.iter().filter(|i| !initializers.contains(i.name.as_str())).for_each(|i| _ = names.unique(&i.name));
        let name = |node: &proto::Node| match (node.op_type.as_str(), node.name.as_str()) {
            // Constants leave no vertex, so that their weights may have the name.
            ("Constant", name) => name.to_owned(),
            (op, "") => names.unique(node.output.iter().find(|o| !o.is_empty()).map_or(op, String::as_str)),
            (_, name) => names.unique(name),
        };
        let node_names = graph.node.iter().map(name).collect();
        let mut uses: HashMap<String, usize> = HashMap::new();
        let read = graph.node.iter().flat_map(|node| &node.input).chain(graph.output.iter().map(|o| &o.name));
        read.for_each(|name| *uses.entry(name.clone()).or_default() += 1);
        Self {
            opset,
            builder: Builder::new(names),
            operators: OPERATORS.iter().copied().collect(),
            values: HashMap::new(),
            uses,
            defined: HashSet::new(),
            unsupported: Vec::new(),
            names: node_names,
        }
    }

    fn read(mut self, graph: proto::Graph, files: &Files<'_>, batch: Batch) -> Result<Graph> {
        let proto::Graph { node, initializer, input, output, .. } = graph;
        let stored: HashSet<String> = initializer.iter().map(|t| t.name.clone()).collect();
        let inputs: Vec<proto::ValueInfo> = input.into_iter().filter(|i| !stored.contains(&i.name)).collect();
        // Beside other extents, a 1 is more likely to be broadcast.
        let agree = inputs.len() == 1 || inputs.iter().all(|input| first_extent(input) == Some(1));
        for input in &inputs {
            self.input(input, batch, agree)?;
        }
        for tensor in initializer {
            let name = tensor.name.clone();
            let value = tensor::read(tensor, files)?;
            let value = shapes::stored(&mut self.builder, &name, value);
            let value = self.known_or_unknown(value, "initializer", &name)?;
            self.bind(&name, value)?;
        }
        for (node, name) in node.iter().zip(std::mem::take(&mut self.names)) {
            self.node(node, &name)?;
        }
        if !self.unsupported.is_empty() {
            return Err(Error::UnsupportedOp(self.unsupported));
        }
        let outputs = output.iter().map(|output| self.output(output)).collect::<Result<Vec<_>>>()?;
        if outputs.is_empty() {
            return Err(bad("the graph has no outputs"));
        }
        self.builder.graph.set_outputs(outputs);
        Ok(self.builder.graph)
    }

    fn bind(&mut self, name: &str, value: Value) -> Result<()> {
        if !self.defined.insert(name.to_owned()) {
            return Err(bad(format!("the value '{name}' is made twice")));
        }
        // What nothing reads need not be kept.
        if self.uses.contains_key(name) {
            self.values.insert(name.to_owned(), value);
        }
        Ok(())
    }

    /// Looks a value up; the last reader takes it, so that weights are not kept twice.
    fn take(&mut self, name: &str) -> Option<Value> {
        let left = self.uses.get_mut(name)?;
        *left = left.saturating_sub(1);
        if *left == 0 { self.values.remove(name) } else { self.values.get(name).cloned() }
    }

    fn known_or_unknown(&mut self, value: Step<Value>, op: &str, name: &str) -> Result<Value> {
        match value {
            Ok(value) => Ok(value),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Unknown) => Ok(Value::Unknown),
            Err(Stop::Unsupported(what)) => {
                self.unsupported.push(UnsupportedOp { op: format!("{op}: {what}"), vertex: name.to_owned() });
                Ok(Value::Unknown)
            }
        }
    }

    fn input(&mut self, input: &proto::ValueInfo, batch: Batch, agree: bool) -> Result<()> {
        let name = &input.name;
        let ty = input.ty.as_ref().and_then(|ty| ty.tensor_type.as_ref());
        let ty = ty.ok_or_else(|| bad(format!("input '{name}' is no tensor")))?;
        if !matches!(ty.elem_type, data_type::FLOAT | data_type::FLOAT16 | data_type::BFLOAT16 | data_type::DOUBLE) {
            let op = format!("input of {}", data_type::name(ty.elem_type));
            self.unsupported.push(UnsupportedOp { op, vertex: name.clone() });
            return self.bind(name, Value::Unknown);
        }
        let dims = ty.shape.as_ref().map(|shape| shape.dim.as_slice());
        let dims = dims.ok_or_else(|| bad(format!("input '{name}' has no shape; export it with one")))?;
        if dims.len() > MAX_RANK {
            return Err(bad(format!("input '{name}' has {} dimensions, more than {MAX_RANK}", dims.len())));
        }
        let mut shape = Vec::with_capacity(dims.len());
        let mut batched = false;
        for (at, dim) in dims.iter().enumerate() {
            let extent = extent(dim);
            let guessed = batch == Batch::Guessed && agree;
            batched |= at == 0 && (guessed || extent.is_none());
            shape.push(match extent {
                _ if at == 0 && batched => 1,
                Some(extent) => extent,
                None => {
                    return Err(bad(format!(
                        "input '{name}' leaves dimension {at} open; only the first may be, as the batch"
                    )));
                }
            });
        }
        let id = self.builder.input(name, shape, batched)?;
        self.bind(name, id.into())
    }

    fn node(&mut self, node: &proto::Node, name: &str) -> Result<()> {
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            inputs.push(if input.is_empty() { None } else { Some(self.argument(input, name)?) });
        }
        let value = match self.operators.get(node.op_type.as_str()) {
            Some(read) if is_default(&node.domain) => {
                let node = Node::new(node, name, self.opset, inputs);
                let value = read(&mut self.builder, &node);
                let value = value.and_then(|value| node.all_attributes_seen().map(|()| value));
                value.and_then(|value| self.only_first_output(&node).map(|()| value))
            }
            _ => {
                let domain = if is_default(&node.domain) { String::new() } else { format!("{}.", node.domain) };
                let op = format!("{domain}{}", node.op_type);
                self.unsupported.push(UnsupportedOp { op, vertex: name.to_owned() });
                Err(Stop::Unknown)
            }
        };
        let value = self.known_or_unknown(value, &node.op_type, name)?;
        let mut value = Some(value);
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            self.bind(output, value.take().unwrap_or(Value::Unknown))?;
        }
        Ok(())
    }

    fn argument(&mut self, input: &str, reader: &str) -> Result<Value> {
        if !self.defined.contains(input) {
            return Err(bad(format!("node '{reader}' reads '{input}', which nothing before it makes")));
        }
        self.take(input).ok_or_else(|| Error::internal(format!("the value '{input}' was let go too early")))
    }

    /// Masks, indices and batch statistics are not computed.
    fn only_first_output(&self, node: &Node<'_>) -> Step<()> {
        match node.outputs().iter().skip(1).position(|output| !output.is_empty() && self.uses.contains_key(output)) {
            Some(at) => builder::unsupported(format!("output {}", at + 1)),
            None => Ok(()),
        }
    }

    fn output(&mut self, output: &proto::ValueInfo) -> Result<VertexId> {
        let name = &output.name;
        let value = if self.defined.contains(name) { self.take(name) } else { None };
        let value = value.ok_or_else(|| bad(format!("nothing makes the output '{name}'")))?;
        let id = self.builder.computed(&value);
        id.map_err(|_| bad(format!("the output '{name}' is made of integers known beforehand")))
    }
}
