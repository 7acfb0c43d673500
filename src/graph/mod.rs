//! The network as data: named vertices in topological order, each with its op, inputs and type.
//!
//! One kind of graph serves everywhere: as the user sees it (source names and layout), lowered for execution (NHWC, fused),
//! and as a training step (loss, gradients and updaters are vertices like any other).

mod cut_points;
pub mod gradient;
mod names;
pub mod rewrite;
mod subgraph;
mod summary;

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ops::{Constant, Input, Op, Parameter, Role};
use crate::tensor::{Tensor, TensorType};
pub use cut_points::CutPoint;
pub use subgraph::Split;
pub use summary::{VertexSummary, print_summary};

/// Index of a vertex in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VertexId(u32);

impl VertexId {
    /// Position in topological order.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Function of an output's rows and their targets that training makes small. Formulas: `train::losses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// `−Σ tᵢ ln pᵢ` on probabilities; targets are one-hot or distributions.
    #[serde(rename = "negativeloglikelihood")]
    NegativeLogLikelihood,
    /// The same, by its other name: cross-entropy over several classes.
    Mcxent,
    /// The same; targets are one-hot here as well, whatever form the caller gives them in.
    SparseMcxent,
    /// Binary cross-entropy of every column.
    Xent,
    /// Mean squared error.
    Mse,
    /// Mean absolute error.
    Mae,
    /// Hinge loss.
    Hinge,
    /// Squared hinge loss.
    SquaredHinge,
    /// Kullback-Leibler divergence of the output from the targets.
    KlDivergence,
    /// Negative log-likelihood of a Poisson distribution, without its constant.
    Poisson,
    /// Negative cosine of the angle between output and targets.
    CosineProximity,
}

/// Loss of an output vertex.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputLoss {
    /// The function.
    pub function: Loss,
    /// Factor of each column; empty where all are 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f32>,
}

impl From<Loss> for OutputLoss {
    fn from(function: Loss) -> Self {
        Self { function, weights: Vec::new() }
    }
}

/// A tensor, and a factor of each column of its last dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled {
    /// The tensor without its factors.
    pub tensor: Arc<Tensor>,
    /// The factors.
    pub columns: Vec<f32>,
}

/// One op applied to the values of other vertices.
#[derive(Debug, Clone, PartialEq)]
pub struct Vertex {
    /// Unique name, the source's own where it has one.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Vertices whose values it reads, in the op's order.
    pub inputs: Vec<VertexId>,
    /// Type of its value.
    pub ty: TensorType,
    /// Runs in inference mode and keeps its parameters, whatever the training configuration says.
    pub frozen: bool,
    /// Value of a parameter or constant.
    pub value: Option<Arc<Tensor>>,
    /// The layer this vertex is an inner part of. Inner parts are not shown; they come and go with their layer.
    pub layer: Option<String>,
    /// Loss, on output vertices that can be trained.
    pub loss: Option<OutputLoss>,
    /// What the value is a product of, where a rewrite made it: the tensor may take less room than the product.
    pub scaled: Option<Arc<Scaled>>,
}

impl Vertex {
    /// Whether training changes the value: an unfrozen parameter that is no running statistic.
    pub fn is_trainable(&self) -> bool {
        matches!(&self.op, Op::Parameter(p) if p.role.is_trainable() && !self.frozen)
    }

    /// Whether the value is the same in every run: constants, and parameters that no training changes.
    pub fn is_constant(&self) -> bool {
        self.is_stored() && !self.is_trainable()
    }

    /// Whether this is a parameter or a constant, which are shown with their consumer and not by themselves.
    pub fn is_stored(&self) -> bool {
        self.value.is_some()
    }
}

/// A directed acyclic graph of vertices in topological order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    vertices: Vec<Vertex>,
    by_name: HashMap<String, VertexId>,
    inputs: Vec<VertexId>,
    outputs: Vec<VertexId>,
}

impl Graph {
    /// A graph without vertices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a vertex after inferring its type. Fails naming the vertex, its op and all input shapes; a name in use is a conflict.
    pub fn add(&mut self, name: impl Into<String>, op: impl Into<Op>, inputs: &[VertexId]) -> Result<VertexId> {
        self.push(Vertex {
            name: name.into(),
            op: op.into(),
            inputs: inputs.to_vec(),
            ty: TensorType::f32([]),
            frozen: false,
            value: None,
            layer: None,
            loss: None,
            scaled: None,
        })
    }

    /// Appends a copy of a vertex with other inputs; its type is inferred anew.
    pub(crate) fn add_like(&mut self, like: &Vertex, op: Op, inputs: &[VertexId]) -> Result<VertexId> {
        self.push(Vertex { op, inputs: inputs.to_vec(), ..like.clone() })
    }

    fn push(&mut self, mut vertex: Vertex) -> Result<VertexId> {
        if self.by_name.contains_key(&vertex.name) {
            return Err(Error::conflict(vertex.name, "the name is taken"));
        }
        if vertex.inputs.iter().any(|i| i.index() >= self.vertices.len()) {
            return Err(Error::internal(format!("'{}' reads a vertex that does not exist yet", vertex.name)));
        }
        let inputs: Vec<&TensorType> = vertex.inputs.iter().map(|&i| &self.get(i).ty).collect();
        let inferred = vertex.op.infer(&inputs).and_then(|ty| match ty.shape.checked_len() {
            Some(0) => Err(crate::error::OpError::new(format!("the value {} has no elements", ty.shape))),
            Some(len) if len <= MAX_ELEMENTS => Ok(ty),
            _ => Err(crate::error::OpError::new(format!("the value {} is too large", ty.shape))),
        });
        vertex.ty = inferred.map_err(|e| Error::Shape {
            vertex: vertex.name.clone(),
            op: vertex.op.name(),
            reason: e.0,
            inputs: inputs.iter().map(|t| t.shape.clone()).collect(),
        })?;
        let id = VertexId(u32::try_from(self.vertices.len()).map_err(|_| Error::internal("too many vertices"))?);
        if let Op::Input(_) = vertex.op {
            self.inputs.push(id);
        }
        self.by_name.insert(vertex.name.clone(), id);
        self.vertices.push(vertex);
        Ok(id)
    }

    /// Appends an input. With `batched`, the first dimension is the batch and may be changed by [`Graph::with_batch`].
    pub fn input(&mut self, name: impl Into<String>, ty: TensorType, batched: bool) -> Result<VertexId> {
        self.add(name, Input { ty, batched }, &[])
    }

    /// Appends a parameter with its value.
    pub fn parameter(
        &mut self,
        name: impl Into<String>,
        role: Role,
        value: impl Into<Arc<Tensor>>,
    ) -> Result<VertexId> {
        let value = value.into();
        let id = self.add(name, Parameter { role, ty: value.ty() }, &[])?;
        self.get_mut(id).value = Some(value);
        Ok(id)
    }

    /// Appends a constant with its value.
    pub fn constant(&mut self, name: impl Into<String>, value: impl Into<Arc<Tensor>>) -> Result<VertexId> {
        let value = value.into();
        let id = self.add(name, Constant { ty: value.ty() }, &[])?;
        self.get_mut(id).value = Some(value);
        Ok(id)
    }

    /// Turns a vertex into a constant that holds its value.
    pub(crate) fn replace_by_constant(&mut self, id: VertexId, value: Arc<Tensor>) {
        let vertex = self.get_mut(id);
        vertex.op = Constant { ty: value.ty() }.into();
        vertex.inputs.clear();
        vertex.value = Some(value);
    }

    /// The vertex of an id of this graph.
    pub fn get(&self, id: VertexId) -> &Vertex {
        &self.vertices[id.index()]
    }

    /// The vertex of an id of this graph. Op, inputs and type stay consistent only if the caller leaves them alone.
    pub(crate) fn get_mut(&mut self, id: VertexId) -> &mut Vertex {
        &mut self.vertices[id.index()]
    }

    /// All vertices with their ids, inputs before their consumers.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (VertexId, &Vertex)> + ExactSizeIterator {
        self.vertices.iter().enumerate().map(|(i, v)| (VertexId(i as u32), v))
    }

    /// Number of vertices.
    pub fn len(&self) -> usize {
        self.vertices.len()
    }

    /// Whether there is no vertex.
    pub fn is_empty(&self) -> bool {
        self.vertices.is_empty()
    }

    /// Inputs in declared order.
    pub fn inputs(&self) -> &[VertexId] {
        &self.inputs
    }

    /// Outputs in declared order.
    pub fn outputs(&self) -> &[VertexId] {
        &self.outputs
    }

    /// Replaces the list of outputs.
    pub fn set_outputs(&mut self, outputs: Vec<VertexId>) {
        self.outputs = outputs;
    }

    /// Vertices that read each vertex, in topological order.
    pub fn consumers(&self) -> Vec<Vec<VertexId>> {
        let mut consumers = vec![Vec::new(); self.len()];
        for (id, vertex) in self.iter() {
            for input in &vertex.inputs {
                if consumers[input.index()].last() != Some(&id) {
                    consumers[input.index()].push(id);
                }
            }
        }
        consumers
    }

    /// Whether a vertex reads a parameter.
    pub fn has_parameters(&self, id: VertexId) -> bool {
        self.get(id).inputs.iter().any(|i| matches!(self.get(*i).op, Op::Parameter(_)))
    }

    /// Marks the given vertices and all their ancestors.
    pub fn ancestors(&self, of: &[VertexId]) -> Vec<bool> {
        let mut marked = vec![false; self.len()];
        for id in of {
            marked[id.index()] = true;
        }
        for (id, vertex) in self.iter().rev() {
            if marked[id.index()] {
                for input in &vertex.inputs {
                    marked[input.index()] = true;
                }
            }
        }
        marked
    }

    /// Marks every vertex whose value depends on a marked one, the marked ones included.
    pub fn descendants(&self, mut marked: Vec<bool>) -> Vec<bool> {
        for (id, vertex) in self.iter() {
            if vertex.inputs.iter().any(|i| marked[i.index()]) {
                marked[id.index()] = true;
            }
        }
        marked
    }
}

/// Largest value of a vertex in elements: keeps sizes of hostile files far from overflow (4 GiB of f32, all that wasm32 can address).
const MAX_ELEMENTS: usize = 1 << 30;
