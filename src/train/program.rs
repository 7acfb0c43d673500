//! One training step as a plan: forward, loss, gradients and updates are vertices of one graph.

use std::collections::{BTreeMap, HashMap};

use regraft_kernels as kernels;

use super::loss::losses;
use super::options::BatchNormMode;
use super::updates::{Learning, Trained, append_updates};
use crate::backend::{Backend, Device, Readback, Request};
use crate::error::{Error, Result};
use crate::formats::safetensors::FloatType;
use crate::graph::gradient::gradients;
use crate::graph::rewrite;
use crate::graph::{Graph, OutputLoss, Vertex, VertexId};
use crate::ops::{Dropout, Input, MovingAverage, Multiply, Op, Parameter, Role};
use crate::plan::Plan;
use crate::tensor::{Shape, Tensor, TensorType};

use super::Updater;

/// Input with the factor of each row's loss.
pub(super) const ROW_WEIGHTS: &str = "fit/row_weights";

/// A dropout of the tail: the trainer draws its mask.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mask {
    pub(super) input: String,
    pub(super) shape: Shape,
    pub(super) rate: f32,
}

/// An output with a loss.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    /// Output with its predictions.
    pub(super) predictions: String,
    pub(super) columns: usize,
    /// Input with its targets.
    pub(super) targets: String,
    /// Output with the loss of each row.
    pub(super) losses: String,
}

/// An updater and the input with the numbers that its op gets in each update.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rate {
    pub(super) updater: Updater,
    pub(super) input: String,
}

/// A compiled training step.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) backend: Backend,
    /// Feature inputs, in the order of the boundary.
    pub(super) features: Vec<String>,
    pub(super) masks: Vec<Mask>,
    pub(super) heads: Vec<Head>,
    pub(super) rates: Vec<Rate>,
    /// What training changes and the model keeps: parameters that the loss depends on, then running statistics.
    pub(super) parameters: Vec<String>,
    /// Updater state.
    pub(super) states: Vec<String>,
    /// Layer of each parameter.
    pub(super) layer_of: HashMap<String, String>,
    /// Rows of a step.
    pub(super) batch: usize,
    /// Whether the rows of a batch have a say in each other's results.
    pub(super) couples_rows: bool,
    /// What is read of each run: the losses of all heads, then the predictions of the first.
    measured: Request,
    /// The parameters alone.
    trained: Request,
    /// The parameters, then the updater state.
    kept: Request,
    /// First value of each updater state that does not start with zeros.
    first: Vec<(String, f32)>,
}

impl Program {
    /// Compiles a step of `batch` rows for a tail as `Graph::split` cut it; `dtype` is that of the features.
    ///
    /// # Errors
    /// `conflict` where no output has a loss or nothing is trainable; `over-budget`; on a GPU those of [`Backend::new`].
    pub(super) fn new(
        device: &Device,
        tail: &Graph,
        batch: usize,
        dtype: FloatType,
        learning: &Learning<'_>,
        budget: Option<u64>,
    ) -> Result<Self> {
        let layer_of = layers(tail);
        let dropped = with_dropout(&tail.with_batch(batch)?, learning)?;
        let mut graph = rewrite::lower(&dropped)?;
        let mut masks = Vec::new();
        graph = with_masks(&graph, &mut masks)?;
        let mut statistics = Vec::new();
        if learning.batch_norm == BatchNormMode::Train {
            (graph, statistics) = rewrite::batch_statistics(&with_written_statistics(&graph)?)?;
        }
        let (heads, outputs) = append_losses(&mut graph, batch)?;
        let row_weights = graph.require(ROW_WEIGHTS)?;
        let seeds: Vec<_> = outputs.iter().map(|(_, losses)| (*losses, row_weights)).collect();
        let trained = trained(&mut graph, &seeds, &layer_of)?;
        let updates = append_updates(&mut graph, &trained, learning)?;
        let mut names: Vec<String> = trained.iter().map(|t| t.name.clone()).collect();
        let mut all: Vec<VertexId> = outputs.iter().flat_map(|(predictions, losses)| [*losses, *predictions]).collect();
        all.extend(&updates.vertices);
        // The means of all, then the variances: a GPU moves all of a kind at once.
        for is_mean in [true, false] {
            for norm in &statistics {
                let (running, batch) =
                    if is_mean { (norm.mean, norm.batch_mean) } else { (norm.variance, norm.batch_variance) };
                let name = graph.get(running).name.clone();
                let average = MovingAverage { momentum: norm.momentum };
                all.push(graph.add(format!("{name}/updated"), average, &[running, batch])?);
                names.push(name);
            }
        }
        graph.set_outputs(all);
        let fused = rewrite::fuse(&graph)?;
        let mut backend = Backend::new(planned(&fused, tail, dtype, budget)?, device)?;
        write_statistics(&mut backend, tail)?;
        for (name, value) in &updates.initial {
            let len = backend.plan().named(name)?.shape.len();
            backend.write(name, &vec![*value; len])?;
        }
        Ok(Self {
            measured: backend.request(&measured(&heads))?,
            trained: backend.request(&names.iter().map(String::as_str).collect::<Vec<_>>())?,
            kept: backend.request(&names.iter().chain(&updates.states).map(String::as_str).collect::<Vec<_>>())?,
            first: updates.initial,
            backend,
            features: features(tail),
            masks,
            heads,
            rates: updates.rates,
            parameters: names,
            states: updates.states,
            layer_of,
            batch,
            couples_rows: !statistics.is_empty(),
        })
    }

    /// Runs the step on a GPU; gives the losses of all heads, then the predictions of the first.
    pub(super) fn run_ahead(&mut self) -> Result<Readback> {
        self.backend.run_for(&self.measured)
    }

    /// The parameters as the last run left them.
    pub(super) fn fetch_parameters(&mut self) -> Result<Readback> {
        self.backend.fetch(&self.trained)
    }

    /// Everything that a run changes and the next one reads.
    pub(super) async fn snapshot(&mut self) -> Result<Snapshot> {
        if self.backend.lies_in_memory() {
            let mut snapshot = Snapshot::new();
            self.refresh(&mut snapshot)?;
            return Ok(snapshot);
        }
        let mut read = self.backend.fetch(&self.kept)?;
        read.arrived().await?;
        self.kept().enumerate().map(|(index, name)| Ok((name.clone(), read.get(index)?.to_vec()))).collect()
    }

    /// [`Program::snapshot`] in the memory of an earlier one, for values that lie in memory.
    pub(super) fn refresh(&self, snapshot: &mut Snapshot) -> Result<()> {
        self.refresh_parameters(snapshot)?;
        self.states.iter().try_for_each(|name| keep(snapshot, name, self.backend.read(name)?))
    }

    /// The part of [`Program::refresh`] that the model keeps.
    pub(super) fn refresh_parameters(&self, snapshot: &mut Snapshot) -> Result<()> {
        self.parameters.iter().try_for_each(|name| keep(snapshot, name, self.backend.read(name)?))
    }

    /// What [`Program::snapshot`] gives before the first run.
    pub(super) fn first_values(&self, tail: &Graph) -> Result<Snapshot> {
        let value = |name: &String| {
            let value = tail.find(name).and_then(|id| tail.get(id).value.as_ref()).and_then(|value| value.as_f32());
            let first = || self.first.iter().find(|(state, _)| state == name).map_or(0.0, |(_, value)| *value);
            let len = self.backend.plan().named(name)?.shape.len();
            Ok((name.clone(), value.map_or_else(|| vec![first(); len], <[f32]>::to_vec)))
        };
        self.kept().map(value).collect()
    }

    /// Names of the values of a snapshot, in the order in which they are read.
    pub(super) fn kept(&self) -> impl Iterator<Item = &String> {
        self.parameters.iter().chain(&self.states)
    }

    /// Puts values back that [`Program::snapshot`] took of this program, or of the same one for another batch.
    pub(super) fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.iter().try_for_each(|(name, values)| self.backend.write(name, values))
    }
}

/// Names of the inputs of a tail.
fn features(tail: &Graph) -> Vec<String> {
    tail.inputs().iter().map(|id| tail.get(*id).name.clone()).collect()
}

/// A plan that takes the features of a tail as they are kept.
fn planned(graph: &Graph, tail: &Graph, dtype: FloatType, budget: Option<u64>) -> Result<Plan> {
    let plan = Plan::new(graph, budget)?;
    Ok(if dtype == FloatType::F16 { plan.with_halves(&features(tail)) } else { plan })
}

/// Values by name.
pub(super) type Snapshot = BTreeMap<String, Vec<f32>>;

fn keep(snapshot: &mut Snapshot, name: &str, values: &[f32]) -> Result<()> {
    match snapshot.get_mut(name) {
        Some(kept) if kept.len() == values.len() => kernels::copy(values, kept),
        _ => {
            snapshot.insert(name.to_owned(), values.to_vec());
        }
    }
    Ok(())
}

/// Values of all trained parameters.
pub type Parameters = Vec<(String, Tensor)>;

/// Layer of each parameter: the first that reads it.
fn layers(tail: &Graph) -> HashMap<String, String> {
    let mut layers = HashMap::new();
    for (_, vertex) in tail.iter() {
        for input in vertex.inputs.iter().map(|i| tail.get(*i)).filter(|i| matches!(i.op, Op::Parameter(_))) {
            let layer = vertex.layer.as_ref().unwrap_or(&vertex.name);
            layers.entry(input.name.clone()).or_insert_with(|| layer.clone());
        }
    }
    layers
}

/// Drops units of what each unfrozen layer with weights reads, where its settings say so.
fn with_dropout(tail: &Graph, learning: &Learning<'_>) -> Result<Graph> {
    let has_weights =
        |v: &Vertex| v.inputs.iter().any(|i| matches!(&tail.get(*i).op, Op::Parameter(p) if p.role == Role::Weight));
    tail.rebuild(|new, vertex, inputs| {
        let rate = learning.of(vertex.layer.as_ref().unwrap_or(&vertex.name)).and_then(|own| own.dropout.get());
        let mut inputs = inputs.to_vec();
        if let Some(&rate) = rate.filter(|rate| **rate > 0.0)
            && !vertex.frozen
            && has_weights(vertex)
        {
            let name = new.free_name(&format!("{}/dropout", vertex.name));
            inputs[0] = new.add(name, Dropout { rate }, &inputs[..1])?;
        }
        new.add_like(vertex, vertex.op.clone(), &inputs)
    })
}

/// Replaces each unfrozen dropout by a product with a mask that is an input.
fn with_masks(graph: &Graph, masks: &mut Vec<Mask>) -> Result<Graph> {
    graph.rebuild(|new, vertex, inputs| match &vertex.op {
        Op::Dropout(dropout) if !vertex.frozen => {
            let input = new.free_name(&format!("{}/mask", vertex.name));
            masks.push(Mask { input: input.clone(), shape: vertex.ty.shape.clone(), rate: dropout.rate });
            let mask = new.input(input, vertex.ty.clone(), true)?;
            new.add_like(vertex, Multiply {}.into(), &[inputs[0], mask])
        }
        op => new.add_like(vertex, op.clone(), inputs),
    })
}

/// Whether training may move the value: a running statistic of an unfrozen batch norm.
fn is_written(vertex: &Vertex) -> bool {
    matches!(&vertex.op, Op::Parameter(Parameter { role: Role::Mean | Role::Variance, .. }) if !vertex.frozen)
}

/// Running statistics of unfrozen batch norms as inputs of their name: values that outlive a run and can be written.
fn with_written_statistics(graph: &Graph) -> Result<Graph> {
    graph.rebuild(|new, vertex, inputs| {
        if is_written(vertex) {
            let op = Input { ty: vertex.ty.clone(), batched: false };
            return new.add_like(&Vertex { value: None, ..vertex.clone() }, op.into(), inputs);
        }
        new.add_like(vertex, vertex.op.clone(), inputs)
    })
}

/// First values of what [`with_written_statistics`] made inputs; the plan ignores those it does not have.
fn write_statistics(backend: &mut Backend, tail: &Graph) -> Result<()> {
    for (_, vertex) in tail.iter().filter(|(_, v)| is_written(v)) {
        let values = vertex.value.as_ref().and_then(|v| v.as_f32()).unwrap_or_default();
        backend.write(&vertex.name, values)?;
    }
    Ok(())
}

/// Predictions and the loss of each row.
type Pair = (VertexId, VertexId);

/// Appends targets and the loss of each row for every output that has one; gives predictions and losses.
fn append_losses(g: &mut Graph, batch: usize) -> Result<(Vec<Head>, Vec<Pair>)> {
    let with_loss = |id: &VertexId| Some((*id, g.get(*id).loss.clone()?));
    let found: Vec<(VertexId, OutputLoss)> = g.outputs().iter().filter_map(with_loss).collect();
    if found.is_empty() {
        return Err(no_loss(g));
    }
    g.input(ROW_WEIGHTS, TensorType::f32([batch]), true)?;
    let (mut heads, mut vertices) = (Vec::new(), Vec::new());
    for (index, (output, loss)) in found.into_iter().enumerate() {
        let name = g.get(output).name.clone();
        let columns = g.get(output).ty.shape.rows_cols().1;
        let targets = format!("fit/targets{index}");
        let input = g.input(targets.clone(), g.get(output).ty.clone(), true)?;
        let losses = losses(g, output, input, &loss)?;
        heads.push(Head { predictions: name, columns, targets, losses: g.get(losses).name.clone() });
        vertices.push((output, losses));
    }
    Ok((heads, vertices))
}

fn no_loss(g: &Graph) -> Error {
    let name = g.outputs().first().map(|id| g.get(*id).name.clone()).unwrap_or_default();
    let reason = format!("it has no loss to train with; replace '{name}' by an output layer, or use classifier()");
    Error::conflict(name, reason)
}

/// Every trainable parameter the losses depend on, with its gradient.
fn trained(g: &mut Graph, seeds: &[Pair], layer_of: &HashMap<String, String>) -> Result<Vec<Trained>> {
    let trainable: Vec<VertexId> = g.iter().filter(|(_, v)| v.is_trainable()).map(|(id, _)| id).collect();
    let found = gradients(g, seeds, &trainable)?;
    let all: Vec<Trained> = trainable
        .into_iter()
        .zip(found)
        .filter_map(|(w, dw)| Some((w, dw?)))
        .map(|(w, dw)| {
            let name = g.get(w).name.clone();
            let is_weight = matches!(&g.get(w).op, Op::Parameter(p) if p.role == Role::Weight);
            Trained { layer: layer_of.get(&name).cloned().unwrap_or_default(), name, w, dw, is_weight }
        })
        .collect();
    if all.is_empty() {
        return Err(Error::conflict("", "there is nothing to train: every parameter is frozen"));
    }
    Ok(all)
}

/// What is read of a run that has losses.
fn measured(heads: &[Head]) -> Vec<&str> {
    let losses = heads.iter().map(|head| head.losses.as_str());
    losses.chain(heads.first().map(|head| head.predictions.as_str())).collect()
}

/// The tail in inference mode, with parameters that can be written: what validation runs.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) backend: Backend,
    measured: Request,
}

impl Forward {
    pub(super) fn new(
        device: &Device,
        tail: &Graph,
        batch: usize,
        dtype: FloatType,
        mode: BatchNormMode,
        budget: Option<u64>,
    ) -> Result<Self> {
        let mut graph = rewrite::lower(&tail.with_batch(batch)?)?;
        if mode == BatchNormMode::Train {
            graph = with_written_statistics(&graph)?;
        }
        let (heads, outputs) = append_losses(&mut graph, batch)?;
        debug_assert!(!heads.is_empty(), "a trained tail has a loss");
        graph.set_outputs(outputs.into_iter().flat_map(|(predictions, losses)| [losses, predictions]).collect());
        let graph = rewrite::fuse(&graph)?;
        let backend = Backend::new(planned(&graph, tail, dtype, budget)?, device)?;
        Ok(Self { measured: backend.request(&measured(&heads))?, backend })
    }

    /// Runs on what was written; gives losses and predictions as [`Program::run_ahead`] does, where it does not lie in memory.
    pub(super) async fn run(&mut self) -> Result<Option<Readback>> {
        if self.backend.lies_in_memory() {
            return self.backend.run().map(|()| None);
        }
        let mut read = self.backend.run_for(&self.measured)?;
        read.arrived().await?;
        Ok(Some(read))
    }

    /// A value of the run: what was read at `index`, or what lies under `name`.
    pub(super) fn value<'a>(&'a self, read: Option<&'a Readback>, index: usize, name: &str) -> Result<&'a [f32]> {
        read.map_or_else(|| self.backend.read(name), |read| read.get(index))
    }
}
