//! Inference: a graph compiled for one batch size.

use super::{Backend, CpuBackend, Device, Readback, Request, StepTime};
use crate::error::{Error, Result};
use crate::graph::{Graph, rewrite};
use crate::plan::Plan;
use crate::tensor::{Rows, Shape, Tensor};

/// A graph ready to run in inference mode.
#[derive(Debug)]
pub struct Session {
    backend: Backend,
    outputs: Vec<(String, Shape)>,
    request: Request,
    /// Outputs of the last run, where they do not lie in memory.
    read: Option<Readback>,
}

/// A session on the CPU on its way to another thread, where sessions on a GPU cannot go.
#[derive(Debug)]
pub struct Sibling {
    backend: CpuBackend,
    outputs: Vec<(String, Shape)>,
    request: Request,
}

impl From<Sibling> for Session {
    fn from(Sibling { backend, outputs, request }: Sibling) -> Self {
        Self { backend: Backend::Cpu(backend), outputs, request, read: None }
    }
}

impl Session {
    /// [`Session::on`] the CPU.
    pub fn new(graph: &Graph, batch: usize, budget: Option<u64>) -> Result<Self> {
        Self::on(&Device::Cpu, graph, batch, budget)
    }

    /// Freezes a copy of the graph, lowers and fuses it and plans it for `batch` images.
    ///
    /// # Errors
    /// `shape` where the graph does not allow the batch, `over-budget`; on a GPU those of [`Backend::new`].
    pub fn on(device: &Device, graph: &Graph, batch: usize, budget: Option<u64>) -> Result<Self> {
        Self::with_halves(device, graph, batch, budget, &[])
    }

    /// [`Session::on`] with inputs whose rows are written as 16-bit floats.
    ///
    /// # Errors
    /// As [`Session::on`].
    pub fn with_halves(
        device: &Device,
        graph: &Graph,
        batch: usize,
        budget: Option<u64>,
        halves: &[String],
    ) -> Result<Self> {
        let (plan, outputs) = compile(device, graph, batch, budget)?;
        let plan = plan.with_halves(halves);
        let backend = Backend::new(plan, device)?;
        let request = backend.request(&outputs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())?;
        Ok(Self { backend, outputs, request, read: None })
    }

    /// The same network on the same weights, with memory of its own.
    ///
    /// # Errors
    /// `internal` on a GPU.
    pub fn sibling(&self) -> Result<Sibling> {
        let (outputs, request) = (self.outputs.clone(), self.request.clone());
        Ok(Sibling { backend: self.backend.sibling()?, outputs, request })
    }

    /// Runs on inputs by name, each in the source's layout, and waits for the outputs. In a browser, a GPU's outputs are awaited
    /// with [`Session::start`] and [`Session::arrived`].
    pub fn run(&mut self, inputs: &[(&str, &[f32])]) -> Result<()> {
        self.start(inputs)?;
        self.read.as_mut().map_or(Ok(()), Readback::wait)
    }

    /// Writes an input for the runs that follow.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.backend.write(name, values)
    }

    /// See [`Backend::write_rows`].
    pub fn write_rows(&mut self, name: &str, all: &Rows, rows: &[usize]) -> Result<()> {
        self.backend.write_rows(name, all, rows)
    }

    /// Starts a run; the CPU has ended it when this returns.
    pub fn start(&mut self, inputs: &[(&str, &[f32])]) -> Result<()> {
        for (name, values) in inputs {
            self.write(name, values)?;
        }
        if self.backend.lies_in_memory() {
            return self.backend.run();
        }
        self.read = Some(self.backend.run_for(&self.request)?);
        Ok(())
    }

    /// Whether the outputs of the run are there. Never waits.
    pub fn poll(&mut self) -> Result<bool> {
        self.read.as_mut().map_or(Ok(true), Readback::poll)
    }

    /// Resolves when the outputs of the run are there.
    pub async fn arrived(&mut self) -> Result<()> {
        match &mut self.read {
            Some(read) => read.arrived().await,
            None => Ok(()),
        }
    }

    /// Runs and gives how long each step took, by the clock `now`.
    pub async fn profile(&mut self, inputs: &[(&str, &[f32])], now: &mut dyn FnMut() -> f64) -> Result<Vec<StepTime>> {
        for (name, values) in inputs {
            self.backend.write(name, values)?;
        }
        self.backend.profile(now).await
    }

    /// Names and shapes of the outputs, in the graph's order.
    pub fn outputs(&self) -> &[(String, Shape)] {
        &self.outputs
    }

    /// Elements of output `index` after a run.
    pub fn output(&self, index: usize) -> Result<&[f32]> {
        let (name, _) = self.outputs.get(index).ok_or_else(|| Error::internal(format!("no output {index}")))?;
        match &self.read {
            Some(read) => read.get(index),
            None => self.backend.read(name),
        }
    }

    /// All outputs after a run, in the graph's order.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let tensor = |(index, (name, shape)): (usize, &(String, Shape))| {
            Ok((name.clone(), Tensor::f32(shape.clone(), self.output(index)?.to_vec())?))
        };
        self.outputs.iter().enumerate().map(tensor).collect()
    }

    /// See [`Plan::peak_bytes`].
    pub fn peak_bytes(&self) -> u64 {
        self.backend.plan().peak_bytes
    }
}

/// The plan, and names and shapes of the outputs. The graphs on the way hold folded weights; they end here, before packing.
fn compile(device: &Device, graph: &Graph, batch: usize, budget: Option<u64>) -> Result<(Plan, Vec<(String, Shape)>)> {
    let batched = graph.for_inference().with_batch(batch)?;
    let outputs = batched.outputs().iter().map(|o| batched.get(*o)).map(|v| (v.name.clone(), v.ty.shape.clone()));
    let outputs = outputs.collect();
    let lowered = rewrite::fuse(&rewrite::lower(&batched)?)?;
    // Several threads would share the few rows of a band.
    let in_bands = matches!(device, Device::Cpu) && regraft_kernels::threads() == 1;
    let plan = if in_bands { Plan::in_bands(&lowered, budget)? } else { Plan::new(&lowered, budget)? };
    Ok((plan, outputs))
}
