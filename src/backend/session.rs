//! Inference: a graph compiled for one batch size.

use super::Backend;
use crate::error::{Error, Result};
use crate::graph::{Graph, rewrite};
use crate::plan::Plan;
use crate::tensor::{Shape, Tensor};

/// A graph ready to run in inference mode.
#[derive(Debug)]
pub struct Session {
    backend: Backend,
    outputs: Vec<(String, Shape)>,
}

impl Session {
    /// Freezes a copy of the graph, lowers and fuses it and plans it for `batch` images.
    ///
    /// # Errors
    /// `shape` where the graph does not allow the batch, `over-budget`.
    pub fn new(graph: &Graph, batch: usize, budget: Option<u64>) -> Result<Self> {
        let batched = graph.for_inference().with_batch(batch)?;
        let outputs = batched.outputs().iter().map(|o| batched.get(*o)).map(|v| (v.name.clone(), v.ty.shape.clone()));
        let outputs = outputs.collect();
        let lowered = rewrite::fuse(&rewrite::lower(&batched)?)?;
        Ok(Self { backend: Backend::new(Plan::new(&lowered, budget)?)?, outputs })
    }

    /// Runs on inputs by name, each in the source's layout.
    pub fn run(&mut self, inputs: &[(&str, &[f32])]) -> Result<()> {
        for (name, values) in inputs {
            self.backend.write(name, values)?;
        }
        self.backend.run();
        Ok(())
    }

    /// Names and shapes of the outputs, in the graph's order.
    pub fn outputs(&self) -> &[(String, Shape)] {
        &self.outputs
    }

    /// Elements of output `index` after a run.
    pub fn output(&self, index: usize) -> Result<&[f32]> {
        let (name, _) = self.outputs.get(index).ok_or_else(|| Error::internal(format!("no output {index}")))?;
        self.backend.read(name)
    }

    /// All outputs after a run, in the graph's order.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let tensor = |(name, shape): &(String, Shape)| {
            Ok((name.clone(), Tensor::f32(shape.clone(), self.backend.read(name)?.to_vec())?))
        };
        self.outputs.iter().map(tensor).collect()
    }

    /// Bytes of the plan's slots and constants.
    pub fn peak_bytes(&self) -> u64 {
        self.backend.plan().peak_bytes
    }
}
