//! From a graph to a list of steps over memory slots. A plan is immutable and made once per batch size; running it
//! plans nothing and looks up nothing by name.

mod bands;
mod lifetime;

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Graph, Scaled, Vertex, VertexId};
use crate::ops::{Conv2dInputGrad, DepthwiseConv2dInputGrad, Op};
use crate::tensor::{Rows, Shape, Tensor, TensorType};
use bands::Found;
pub use bands::{Chain, Piece};

/// Where a value lies while a plan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// A stored value that no run changes.
    Constant(usize),
    /// A slot of the arena.
    Slot(usize),
}

/// A value a step reads.
#[derive(Debug, Clone)]
pub struct Read {
    /// Where it lies.
    pub at: Location,
    /// Its shape.
    pub shape: Shape,
}

impl Read {
    /// Whether these rows are as many and as long as those of the value.
    pub fn takes(&self, all: &Rows, rows: &[usize]) -> bool {
        self.shape.first() == Some(&rows.len()) && self.shape.len() == rows.len() * all.len
    }

    /// The error of another number of values that were written to an input.
    pub fn refuses(&self, name: &str, values: usize) -> Error {
        let reason = format!("{values} values were written to {}", self.shape);
        Error::Internal { vertex: Some(name.to_owned()), reason }
    }
}

/// One evaluation.
#[derive(Debug, Clone)]
pub struct Step {
    /// Name of the vertex.
    pub vertex: String,
    /// What is computed.
    pub op: Op,
    /// What it reads, in the op's order.
    pub reads: Vec<Read>,
    /// Slot it writes.
    pub writes: usize,
    /// Shape written.
    pub shape: Shape,
}

/// Steps in order and the memory they need.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What runs, in order.
    pub steps: Vec<Step>,
    /// Those of them that run in bands of rows; the slots they hand values on in hold a band.
    pub chains: Vec<Chain>,
    /// Elements of each slot.
    pub slots: Vec<usize>,
    /// Stored values, shared with the graph.
    pub constants: Vec<Arc<Tensor>>,
    /// What each constant is a product of, where that is known; empty where the backend has no use for it.
    pub scaled: Vec<Option<Arc<Scaled>>>,
    /// First values of slots that outlive a run: trainable parameters.
    pub initial: Vec<(usize, Arc<Tensor>)>,
    /// Slots that are written as 16-bit floats, and how many: of inputs.
    pub halves: Vec<(usize, usize)>,
    /// For each constant, whether weights prepared from it take its place: no step reads its elements and no output is it.
    pub replaced: Vec<bool>,
    /// Bytes of slots, prepared weights and the constants that are kept.
    pub peak_bytes: u64,
    named: HashMap<String, Read>,
}

impl Plan {
    /// Plans the computation of the graph's outputs. The graph is one that `rewrite::lower` made.
    ///
    /// # Errors
    /// `over-budget` where slots and constants need more than `budget` bytes.
    pub fn new(graph: &Graph, budget: Option<u64>) -> Result<Self> {
        Self::with_chains(graph, budget, &[])
    }

    /// [`Plan::new`] for a single thread of a processor: convolutions hand on large images in bands that stay in its cache. The
    /// results are the same, bit for bit.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn in_bands(graph: &Graph, budget: Option<u64>) -> Result<Self> {
        Self::with_chains(graph, budget, &bands::find(graph))
    }

    fn with_chains(graph: &Graph, budget: Option<u64>, chains: &[Found]) -> Result<Self> {
        let assignment = lifetime::assign(graph, chains)?;
        let mut plan = Self {
            steps: Vec::new(),
            chains: Vec::new(),
            slots: assignment.slots,
            constants: Vec::new(),
            scaled: Vec::new(),
            initial: Vec::new(),
            halves: Vec::new(),
            replaced: Vec::new(),
            peak_bytes: 0,
            named: HashMap::new(),
        };
        let mut locations: Vec<Option<Location>> = vec![None; graph.len()];
        for (id, vertex) in graph.iter() {
            let location = plan.place(graph, id, vertex, assignment.slot_of[id.index()])?;
            locations[id.index()] = Some(location);
            let first = vertex.inputs.first().and_then(|i| locations[i.index()]);
            let aliases = is_alias(&vertex.op) && first == Some(location);
            if let Some(chain) = chains.iter().find(|chain| chain.vertices.first() == Some(&id)) {
                plan.chains.push(chain.at(plan.steps.len(), vertex.ty.shape[0]));
            }
            if !(vertex.is_stored() || matches!(vertex.op, Op::Input(_)) || aliases) {
                plan.steps.push(step(graph, vertex, &locations, location)?);
            }
        }
        let kept = graph.iter().filter(|(_, v)| matches!(v.op, Op::Input(_)) || v.is_trainable()).map(|(id, _)| id);
        for id in kept.chain(graph.outputs().iter().copied()) {
            let read = read(graph, id, &locations)?;
            plan.named.insert(graph.get(id).name.clone(), read);
        }
        let prepared = plan.prepare();
        plan.account(prepared, budget)?;
        Ok(plan)
    }

    /// The same plan with inputs that are written as 16-bit floats; those that no step reads, and would widen, are not.
    #[must_use]
    pub fn with_halves(mut self, inputs: &[String]) -> Self {
        let slot = |name: &String| match self.named.get(name)? {
            Read { at: Location::Slot(slot), shape } => Some((*slot, shape.len())),
            Read { at: Location::Constant(_), .. } => None,
        };
        let is_read = |(slot, _): &(usize, usize)| {
            let mut reads = self.steps.iter().flat_map(|step| step.reads.iter());
            reads.any(|read| read.at == Location::Slot(*slot))
        };
        self.halves = inputs.iter().filter_map(slot).filter(is_read).collect();
        self
    }

    /// Whether a slot is written as 16-bit floats.
    pub fn is_halves(&self, slot: usize) -> bool {
        self.halves.iter().any(|(halves, _)| *halves == slot)
    }

    fn place(&mut self, graph: &Graph, id: VertexId, vertex: &Vertex, slot: Option<usize>) -> Result<Location> {
        match (slot, &vertex.value) {
            (None, Some(value)) => {
                self.constants.push(Arc::clone(value));
                self.scaled.push(vertex.scaled.clone());
                Ok(Location::Constant(self.constants.len() - 1))
            }
            (Some(slot), value) => {
                if let Some(value) = value {
                    self.initial.push((slot, Arc::clone(value)));
                }
                Ok(Location::Slot(slot))
            }
            (None, None) => Err(Error::Internal {
                vertex: Some(graph.get(id).name.clone()),
                reason: "the value has no place in memory".into(),
            }),
        }
    }

    /// Finds the constants that prepared weights replace; gives the bytes these take.
    fn prepare(&mut self) -> u64 {
        let mut replaced = vec![true; self.constants.len()];
        let mut floats = 0;
        for step in &self.steps {
            let types = step.types();
            let prepared = step.op.prepared_len(&types.iter().collect::<Vec<_>>());
            for (index, read) in step.reads.iter().enumerate() {
                match (read.at, prepared) {
                    (Location::Constant(_), Some(len)) if index == 1 => floats += len as u64,
                    (Location::Constant(c), _) if step.reads_elements(index) => replaced[c] = false,
                    _ => {}
                }
            }
        }
        for read in self.named.values() {
            if let Location::Constant(c) = read.at {
                replaced[c] = false;
            }
        }
        self.replaced = replaced;
        floats * 4
    }

    fn account(&mut self, prepared: u64, budget: Option<u64>) -> Result<()> {
        let slots: u64 = self.slots.iter().map(|&len| len as u64 * 4).sum();
        let kept = self.constants.iter().zip(&self.replaced).filter(|(_, replaced)| !**replaced);
        let constants: u64 = kept.map(|(t, _)| t.bytes() as u64).sum();
        self.peak_bytes = slots + constants + prepared;
        match budget {
            Some(budget) if self.peak_bytes > budget => Err(Error::OverBudget { needed: self.peak_bytes, budget }),
            _ => Ok(()),
        }
    }

    /// Place and shape of an input, a trainable parameter or an output.
    pub fn named(&self, name: &str) -> Result<&Read> {
        self.named.get(name).ok_or_else(|| Error::Internal {
            vertex: Some(name.to_owned()),
            reason: "the plan has neither an input, a parameter nor an output of this name".into(),
        })
    }
}

/// Ops whose value is the elements of their first input under another shape.
fn is_alias(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::ReshapeLike(_) | Op::Flatten(_) | Op::Dropout(_))
}

/// Inputs whose elements an op reads; the others it asks for their shape alone.
fn reads_elements(op: &Op, index: usize) -> bool {
    match op {
        Op::SumLike(_) | Op::BroadcastLike(_) | Op::ReshapeLike(_) | Op::AvgPoolGrad(_) => index == 0,
        Op::Conv2dInputGrad(Conv2dInputGrad { clamp, .. })
        | Op::DepthwiseConv2dInputGrad(DepthwiseConv2dInputGrad { clamp, .. }) => index < 2 || clamp.is_some(),
        _ => true,
    }
}

fn read(graph: &Graph, id: VertexId, locations: &[Option<Location>]) -> Result<Read> {
    let at = locations[id.index()].ok_or_else(|| Error::internal("a value is read before it is placed"))?;
    Ok(Read { at, shape: graph.get(id).ty.shape.clone() })
}

fn step(graph: &Graph, vertex: &Vertex, locations: &[Option<Location>], at: Location) -> Result<Step> {
    let Location::Slot(writes) = at else {
        return Err(Error::Internal { vertex: Some(vertex.name.clone()), reason: "a step writes a constant".into() });
    };
    let reads = vertex.inputs.iter().map(|i| read(graph, *i, locations)).collect::<Result<_>>()?;
    Ok(Step { vertex: vertex.name.clone(), op: vertex.op.clone(), reads, writes, shape: vertex.ty.shape.clone() })
}

impl Step {
    /// Types of what it reads.
    pub fn types(&self) -> Vec<TensorType> {
        self.reads.iter().map(|r| TensorType::f32(r.shape.clone())).collect()
    }

    /// Whether it reads the elements of input `index`, and not only its shape.
    pub fn reads_elements(&self, index: usize) -> bool {
        reads_elements(&self.op, index)
    }
}
