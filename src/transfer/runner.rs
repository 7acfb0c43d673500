//! Raw inference, many times over.

use super::model::Model;
use crate::backend::{Device, Session, StepTime, at_once};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A network planned for one batch size and choice of outputs.
#[derive(Debug)]
pub struct Runner {
    session: Session,
    batch: usize,
    outputs: Option<Vec<String>>,
}

impl Runner {
    /// [`Runner::on`] the CPU.
    pub fn new(model: &Model, inputs: &[(String, Tensor)], outputs: Option<&[String]>) -> Result<Self> {
        Self::on(&Device::Cpu, model, inputs, outputs)
    }

    /// Plans what [`Model::run`] does with these inputs and outputs.
    ///
    /// # Errors
    /// As [`Model::run`]; on a GPU those of [`Session::on`].
    pub fn on(device: &Device, model: &Model, inputs: &[(String, Tensor)], outputs: Option<&[String]>) -> Result<Self> {
        let mut graph = model.graph.clone();
        if let Some(names) = outputs {
            let ids = names.iter().map(|name| graph.require(name)).collect::<Result<Vec<_>>>()?;
            graph.set_outputs(ids);
        }
        let batch = model.check_inputs(inputs)?;
        let session = Session::on(device, &graph, batch, None)?;
        Ok(Self { session, batch, outputs: outputs.map(<[String]>::to_vec) })
    }

    /// Whether it is what [`Runner::on`] would make again.
    ///
    /// # Errors
    /// `bad-option` and `shape` for inputs the network does not take.
    pub fn fits(&self, model: &Model, inputs: &[(String, Tensor)], outputs: Option<&[String]>) -> Result<bool> {
        Ok(model.check_inputs(inputs)? == self.batch && outputs == self.outputs.as_deref())
    }

    /// Runs it on inputs that fit.
    pub fn run(&mut self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>> {
        self.session.run(&views(inputs)?)?;
        self.session.tensors()
    }

    /// [`Runner::run`] where a GPU cannot be waited for.
    ///
    /// # Errors
    /// Those of [`Session::arrived`].
    pub async fn run_ahead(&mut self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>> {
        self.session.start(&views(inputs)?)?;
        self.session.arrived().await?;
        self.session.tensors()
    }

    /// Runs it on inputs that fit; gives how long each step took, by the clock `now`.
    pub fn profile(&mut self, inputs: &[(String, Tensor)], now: &mut dyn FnMut() -> f64) -> Result<Vec<StepTime>> {
        at_once(self.session.profile(&views(inputs)?, now))
    }
}

fn views(inputs: &[(String, Tensor)]) -> Result<Vec<(&str, &[f32])>> {
    let views: Option<_> = inputs.iter().map(|(name, tensor)| Some((name.as_str(), tensor.as_f32()?))).collect();
    views.ok_or_else(|| Error::option("inputs", "tensors are f32"))
}
