//! One training step as a plan: forward, loss, gradients and updates are vertices of one graph.

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::graph::gradient::gradients;
use crate::graph::{Graph, OutputLoss, VertexId, rewrite};
use crate::ops::{Multiply, Op};
use crate::plan::Plan;
use crate::tensor::{Shape, Tensor, TensorType};

use super::{Updater, losses};

/// Inputs that the trainer writes beside the features.
pub(super) const TARGETS: &str = "fit/targets";
pub(super) const ROW_WEIGHTS: &str = "fit/row_weights";
pub(super) const RATE: &str = "fit/rate";

/// A dropout of the tail: the trainer draws its mask.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mask {
    pub(super) input: String,
    pub(super) shape: Shape,
    pub(super) rate: f32,
}

/// A compiled training step.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) backend: Backend,
    /// Feature inputs, in the order of the boundary.
    pub(super) features: Vec<String>,
    pub(super) masks: Vec<Mask>,
    /// Trainable parameters that the loss depends on.
    pub(super) parameters: Vec<String>,
    /// Output with the class probabilities.
    pub(super) predictions: String,
    /// Output with the loss of each row.
    pub(super) losses: String,
    pub(super) classes: usize,
}

impl Program {
    /// Compiles a step of `batch` rows for a tail as `Graph::split` cut it.
    ///
    /// # Errors
    /// `conflict` where no output has a loss or nothing is trainable; `over-budget`.
    pub(super) fn new(tail: &Graph, batch: usize, updater: &Updater, budget: Option<u64>) -> Result<Self> {
        let (graph, masks) = with_masks(&rewrite::lower(&tail.with_batch(batch)?)?)?;
        let mut step = Builder { graph };
        let (predictions, function) = step.loss_output()?;
        let (name, classes) = (step.graph.get(predictions).name.clone(), step.columns(predictions));
        let loss = step.loss(predictions, &function, batch, classes)?;
        let losses = step.graph.get(loss.losses).name.clone();
        let (parameters, updates) = step.updates(loss, updater)?;
        step.graph.set_outputs([loss.losses, predictions].into_iter().chain(updates).collect());
        let fused = rewrite::fuse(&step.graph)?;
        let features = tail.inputs().iter().map(|id| tail.get(*id).name.clone()).collect();
        let backend = Backend::new(Plan::new(&fused, budget)?)?;
        Ok(Self { backend, features, masks, parameters, predictions: name, losses, classes })
    }
}

#[derive(Clone, Copy)]
struct LossInputs {
    losses: VertexId,
    row_weights: VertexId,
}

struct Builder {
    graph: Graph,
}

impl Builder {
    /// The output that has a loss, and the loss.
    fn loss_output(&self) -> Result<(VertexId, OutputLoss)> {
        let mut with_loss = self.graph.outputs().iter().filter(|id| self.graph.get(**id).loss.is_some());
        let Some(&output) = with_loss.next() else { return Err(self.no_loss()) };
        let vertex = self.graph.get(output);
        if with_loss.next().is_some() {
            return Err(Error::conflict(&vertex.name, "training of several outputs with losses is not supported yet"));
        }
        vertex.loss.clone().map(|loss| (output, loss)).ok_or_else(|| self.no_loss())
    }

    fn no_loss(&self) -> Error {
        let name = self.graph.outputs().first().map(|id| self.graph.get(*id).name.clone()).unwrap_or_default();
        let reason = format!("it has no loss to train with; replace '{name}' by an output layer, or use classifier()");
        Error::conflict(name, reason)
    }

    fn columns(&self, id: VertexId) -> usize {
        self.graph.get(id).ty.shape.rows_cols().1
    }

    fn loss(&mut self, output: VertexId, loss: &OutputLoss, batch: usize, classes: usize) -> Result<LossInputs> {
        let targets = self.graph.input(TARGETS, TensorType::f32([batch, classes]), true)?;
        let row_weights = self.graph.input(ROW_WEIGHTS, TensorType::f32([batch]), true)?;
        let losses = losses(&mut self.graph, output, targets, loss)?;
        Ok(LossInputs { losses, row_weights })
    }

    /// Gradient and update of every trainable parameter the loss depends on.
    fn updates(&mut self, loss: LossInputs, updater: &Updater) -> Result<(Vec<String>, Vec<VertexId>)> {
        let g = &mut self.graph;
        let trainable: Vec<VertexId> = g.iter().filter(|(_, v)| v.is_trainable()).map(|(id, _)| id).collect();
        let found = gradients(g, &[(loss.losses, loss.row_weights)], &trainable)?;
        let rate = g.input(RATE, TensorType::f32([updater.scalars(0, 0).len()]), false)?;
        let (mut names, mut updates) = (Vec::new(), Vec::new());
        for (w, dw) in trainable.into_iter().zip(found).filter_map(|(w, dw)| dw.map(|dw| (w, dw))) {
            let (name, ty) = (g.get(w).name.clone(), g.get(w).ty.clone());
            let Some(op) = updater.op() else { continue };
            let mut inputs = vec![w];
            for state in 1..op.updates() {
                inputs.push(g.input(format!("{name}/state{state}"), ty.clone(), false)?);
            }
            inputs.extend([dw, rate]);
            updates.push(g.add(format!("{name}/updated"), op, &inputs)?);
            names.push(name);
        }
        if names.is_empty() {
            return Err(Error::conflict("", "there is nothing to train: every parameter is frozen"));
        }
        Ok((names, updates))
    }
}

/// Replaces each unfrozen dropout by a product with a mask that is an input.
fn with_masks(graph: &Graph) -> Result<(Graph, Vec<Mask>)> {
    let mut masks = Vec::new();
    let masked = graph.rebuild(|new, vertex, inputs| match &vertex.op {
        Op::Dropout(dropout) if !vertex.frozen => {
            let input = new.free_name(&format!("{}/mask", vertex.name));
            masks.push(Mask { input: input.clone(), shape: vertex.ty.shape.clone(), rate: dropout.rate });
            let mask = new.input(input, vertex.ty.clone(), true)?;
            new.add_like(vertex, Multiply {}.into(), &[inputs[0], mask])
        }
        op => new.add_like(vertex, op.clone(), inputs),
    })?;
    Ok((masked, masks))
}

/// The tail in inference mode, with parameters that can be written: what validation runs.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) backend: Backend,
}

impl Forward {
    pub(super) fn new(tail: &Graph, batch: usize, budget: Option<u64>) -> Result<Self> {
        let graph = rewrite::fuse(&rewrite::lower(&tail.with_batch(batch)?)?)?;
        Ok(Self { backend: Backend::new(Plan::new(&graph, budget)?)? })
    }
}

/// Values of all trained parameters.
pub type Parameters = Vec<(String, Tensor)>;
