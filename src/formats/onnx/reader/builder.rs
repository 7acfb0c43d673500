//! The graph under construction, and what the names of the file stand for.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::super::bad;
use super::super::names::Names;
use super::integers::{Int, Ints};
use crate::error::{Error, Result};
use crate::graph::{Graph, VertexId};
use crate::ops::{self, Op, Role, View};
use crate::tensor::{Tensor, TensorType};

/// Why a node cannot be read.
pub(super) enum Stop {
    /// What the engine does not have. Reading goes on, so that the error can list all of them.
    Unsupported(String),
    /// It reads what an unsupported node makes, so nothing more can be said of it.
    Unknown,
    /// The file is wrong.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The outcome of reading a node or a part of it.
pub(super) type Step<T> = Result<T, Stop>;

pub(super) fn unsupported<T>(what: impl Into<String>) -> Step<T> {
    Err(Stop::Unsupported(what.into()))
}

/// Floats known while reading: an initializer, a constant, or computed from these.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// Name for its vertices.
    pub name: Rc<str>,
    pub tensor: Arc<Tensor>,
    /// Tells it from others of the same name.
    id: usize,
}

/// What a name of the file stands for.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Vertex(VertexId),
    Weights(Weights),
    Integers(Rc<Ints>),
    /// Made by a node that is not supported.
    Unknown,
}

impl From<VertexId> for Value {
    fn from(id: VertexId) -> Self {
        Self::Vertex(id)
    }
}

impl From<Ints> for Value {
    fn from(ints: Ints) -> Self {
        Self::Integers(Rc::new(ints))
    }
}

/// How stored weights differ from the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// As they are.
    Plain,
    /// Filters `[m, c, kh, kw]` as `[kh, kw, c, m]`.
    Filters,
    /// Filters `[c, 1, kh, kw]` as `[kh, kw, c]`.
    ChannelFilters,
    /// A matrix, transposed.
    Transposed,
}

impl Form {
    fn apply(self, weights: Weights) -> Result<Arc<Tensor>> {
        let tensor = weights.tensor;
        Ok(match self {
            Self::Plain => return Ok(tensor),
            Self::Filters => tensor.permute(&[2, 3, 1, 0])?,
            Self::ChannelFilters => {
                let shape = [tensor.shape()[2], tensor.shape()[3], tensor.shape()[0]];
                tensor.permute(&[2, 3, 1, 0])?.reshape(shape)?
            }
            Self::Transposed => tensor.permute(&[1, 0])?,
        }
        .into())
    }
}

/// Batch at which extents are compared with those for one image. A prime, so that it is hardly met by chance.
const SECOND_BATCH: usize = 7;

/// Most floats that are computed while reading; the weights of VGG-19 are 2²⁷.
const MAX_FLOATS: usize = 1 << 28;
/// Most integers that are computed while reading; shapes have a handful.
const MAX_INTEGERS: usize = 1 << 20;

/// The graph under construction.
pub(super) struct Builder {
    pub graph: Graph,
    pub names: Names,
    /// Type of each vertex for [`SECOND_BATCH`] images.
    second: Vec<TensorType>,
    /// Vertices of weights, by id and form.
    stored: HashMap<(usize, Form), VertexId>,
    weights: usize,
    /// Floats and integers that may still be computed.
    left: [usize; 2],
}

impl Builder {
    pub(super) fn new(names: Names) -> Self {
        Self {
            graph: Graph::new(),
            names,
            second: Vec::new(),
            stored: HashMap::new(),
            weights: 0,
            left: [MAX_FLOATS, MAX_INTEGERS],
        }
    }

    pub(super) fn input(&mut self, name: &str, shape: Vec<usize>, batched: bool) -> Result<VertexId> {
        let mut second = shape.clone();
        if let Some(first) = second.first_mut().filter(|_| batched) {
            *first = SECOND_BATCH;
        }
        let id = self.graph.input(name, TensorType::f32(shape), batched)?;
        self.second.push(TensorType::f32(second));
        Ok(id)
    }

    /// Appends a vertex under a name that [`Names::unique`] gave.
    pub(super) fn vertex(&mut self, name: String, op: impl Into<Op>, inputs: &[VertexId]) -> Result<VertexId> {
        let op = op.into();
        let types: Vec<&TensorType> = inputs.iter().map(|i| &self.second[i.index()]).collect();
        let second = op.infer(&types).map_err(|why| Error::Shape {
            vertex: name.clone(),
            op: op.name(),
            reason: format!("{} for a batch of {SECOND_BATCH}", why.0),
            inputs: types.iter().map(|t| t.shape.clone()).collect(),
        });
        // The graph's own error comes first: it is about one image.
        let id = self.graph.add(name, op, inputs)?;
        self.second.push(second?);
        Ok(id)
    }

    /// Appends a vertex that is an inner part of the vertex `of`.
    pub(super) fn part(&mut self, of: &str, part: &str, op: impl Into<Op>, inputs: &[VertexId]) -> Result<VertexId> {
        let name = self.names.unique(&format!("{of}/{part}"));
        let id = self.vertex(name, op, inputs)?;
        self.graph.get_mut(id).layer = Some(of.to_owned());
        Ok(id)
    }

    /// Appends a vertex, or computes its value where all inputs are known. Not for ops that have a layout.
    pub(super) fn apply(&mut self, name: &str, op: impl Into<Op>, inputs: &[Value]) -> Step<Value> {
        let op = op.into();
        let known: Option<Vec<&Weights>> = inputs
            .iter()
            .map(|value| match value {
                Value::Weights(weights) => Some(weights),
                _ => None,
            })
            .collect();
        if let Some(known) = known {
            return self.fold(name, &op, &known);
        }
        let ids = inputs.iter().map(|value| self.computed(value)).collect::<Step<Vec<_>>>()?;
        Ok(self.vertex(name.to_owned(), op, &ids)?.into())
    }

    fn fold(&mut self, name: &str, op: &Op, inputs: &[&Weights]) -> Step<Value> {
        let types: Vec<TensorType> = inputs.iter().map(|w| w.tensor.ty()).collect();
        let ty = op.infer(&types.iter().collect::<Vec<_>>()).map_err(|why| Error::Shape {
            vertex: name.to_owned(),
            op: op.name(),
            reason: why.0,
            inputs: types.iter().map(|t| t.shape.clone()).collect(),
        })?;
        let len = ty.shape.checked_len().unwrap_or(usize::MAX);
        self.charge_floats(len)?;
        let views: Vec<View<'_>> = inputs
            .iter()
            .filter_map(|w| Some(View { shape: w.tensor.shape(), data: w.tensor.as_f32().filter(|d| !d.is_empty())? }))
            .collect();
        if views.len() != inputs.len() || len == 0 {
            return Err(bad(format!("node '{name}' computes with empty tensors")).into());
        }
        let tensor = Tensor::f32(ty.shape, ops::evaluate(op, &views, len))?;
        Ok(self.weights(name, tensor))
    }

    /// Floats known while reading.
    pub(super) fn weights(&mut self, name: &str, tensor: Tensor) -> Value {
        self.weights += 1;
        Value::Weights(Weights { name: name.into(), tensor: tensor.into(), id: self.weights })
    }

    /// Counts what is computed while reading, so that a small file cannot ask for a lot of memory.
    pub(super) fn charge_floats(&mut self, elements: usize) -> Result<()> {
        charge(&mut self.left[0], elements)
    }

    /// See [`Builder::charge_floats`].
    pub(super) fn charge_integers(&mut self, elements: usize) -> Result<()> {
        charge(&mut self.left[1], elements)
    }

    /// The vertex of a value; floats become a constant.
    pub(super) fn computed(&mut self, value: &Value) -> Step<VertexId> {
        match value {
            Value::Vertex(id) => Ok(*id),
            Value::Weights(weights) => self.store(weights.clone(), Form::Plain, None),
            Value::Integers(_) => unsupported("integers among the values it computes with"),
            Value::Unknown => Err(Stop::Unknown),
        }
    }

    /// The vertex of weights as a parameter.
    pub(super) fn parameter(&mut self, weights: Weights, role: Role, form: Form) -> Step<VertexId> {
        self.store(weights, form, Some(role))
    }

    /// Weights that are in no file and belong to one vertex.
    pub(super) fn own(&mut self, name: &str, role: Option<Role>, tensor: Tensor) -> Result<VertexId> {
        let name = self.names.unique(name);
        self.second.push(tensor.ty());
        match role {
            Some(role) => self.graph.parameter(name, role, tensor),
            None => self.graph.constant(name, tensor),
        }
    }

    fn store(&mut self, weights: Weights, form: Form, role: Option<Role>) -> Step<VertexId> {
        let key = (weights.id, form);
        if let Some(id) = self.stored.get(&key) {
            return Ok(*id);
        }
        let name = self.names.unique(&weights.name);
        let tensor = form.apply(weights)?;
        self.second.push(tensor.ty());
        let id = match role {
            Some(role) => self.graph.parameter(name, role, tensor)?,
            None => self.graph.constant(name, tensor)?,
        };
        self.stored.insert(key, id);
        Ok(id)
    }

    /// Extents of a value for one image and for [`SECOND_BATCH`] images.
    pub(super) fn extents(&self, value: &Value) -> Step<[Vec<usize>; 2]> {
        Ok(match value {
            Value::Vertex(id) => [self.graph.get(*id).ty.shape.to_vec(), self.second[id.index()].shape.to_vec()],
            Value::Weights(weights) => [weights.tensor.shape().to_vec(), weights.tensor.shape().to_vec()],
            Value::Integers(ints) => [ints.shape.clone(), ints.shape.clone()],
            Value::Unknown => return Err(Stop::Unknown),
        })
    }

    /// The batches of [`Builder::extents`].
    pub(super) const BATCHES: [usize; 2] = [1, SECOND_BATCH];

    /// Extents as integers that may depend on the batch.
    pub(super) fn shape(&self, value: &Value) -> Step<Vec<Int>> {
        let [one, many] = self.extents(value)?;
        let through = |(&one, &many): (&usize, &usize)| Int::through(one, many, SECOND_BATCH);
        let shape: Option<Vec<Int>> = one.iter().zip(&many).map(through).collect();
        shape.map_or_else(|| unsupported("a shape that does not grow evenly with the batch"), Ok)
    }

    /// Number of dimensions.
    pub(super) fn rank(&self, value: &Value) -> Step<usize> {
        self.extents(value).map(|[one, _]| one.len())
    }
}

fn charge(left: &mut usize, elements: usize) -> Result<()> {
    *left =
        left.checked_sub(elements).ok_or_else(|| bad("its constants are computed from little to a lot of memory"))?;
    Ok(())
}
