use std::sync::Arc;

use js_sys::Function;
use serde_json::{Map, Value};
use wasm_bindgen::prelude::*;

use super::convert::{JsResult, OrThrow, clock, failure, from_js, names, to_js};
use super::features::WasmFeatures;
use super::model::WasmModel;
use crate::error::Error;
use crate::train::{Checkpoint, FitOptions, StoppedBy, Trainer};

/// Training in slices.
#[wasm_bindgen]
pub struct WasmTrainer {
    trainer: Trainer,
}

#[wasm_bindgen]
impl WasmTrainer {
    /// Compiles the training step. `validation` is taken; give it `share()` to keep a handle. With a checkpoint, its settings
    /// hold where `options` says nothing.
    pub fn create(
        model: &WasmModel,
        at: JsValue,
        train: &WasmFeatures,
        validation: Option<WasmFeatures>,
        options: JsValue,
        checkpoint: Option<Vec<u8>>,
    ) -> JsResult<WasmTrainer> {
        let given: Map<String, Value> = from_js(options, "fit")?;
        let at = names(at, "at")?;
        let (train, validation) = (Arc::clone(&train.set), validation.map(|v| Arc::clone(&v.set)));
        let trainer = match checkpoint {
            None => model.model.trainer(at.as_deref(), train, validation, parse(given)?),
            Some(bytes) => {
                let mut checkpoint = Checkpoint::read(&bytes).or_throw()?;
                checkpoint.options = parse(over(given, &checkpoint.options)?)?;
                model.model.resumed_trainer(at.as_deref(), train, validation, checkpoint)
            }
        };
        Ok(Self { trainer: trainer.or_throw()? })
    }

    /// Trains for about `budgetMs`, at least one update, and not past the end of an epoch.
    pub fn run(&mut self, budget_ms: f64) -> JsResult<JsValue> {
        let end = js_sys::Date::now() + budget_ms;
        loop {
            let status = self.trainer.step().or_throw()?;
            if status.finished || status.epoch_ended || js_sys::Date::now() >= end {
                return to_js(&status);
            }
        }
    }

    /// `StepTime[]` of one step, by `now`, a function that gives milliseconds. For measuring alone: the run does not count it.
    pub fn profile(&mut self, now: &Function) -> JsResult<JsValue> {
        to_js(&self.trainer.profile(&mut clock(now)).or_throw()?)
    }

    /// Ends the run as early stopping does.
    pub fn stop(&mut self) {
        self.trainer.stop();
    }

    /// The run as bytes that `create` takes.
    pub fn checkpoint(&self) -> JsResult<Vec<u8>> {
        self.trainer.checkpoint().or_throw()
    }

    /// Writes the parameters into the model and tells what the run brought.
    pub fn finish(&mut self, model: &mut WasmModel, stopped_by: JsValue) -> JsResult<JsValue> {
        let stopped_by: StoppedBy = from_js(stopped_by, "stoppedBy")?;
        model.model.update(self.trainer.parameters(stopped_by).or_throw()?).or_throw()?;
        model.changed();
        to_js(&self.trainer.history(stopped_by))
    }
}

fn parse(options: Map<String, Value>) -> JsResult<FitOptions> {
    serde_json::from_value(Value::Object(options)).map_err(|e| failure(&Error::option("fit", e.to_string())))
}

/// The given options, and those of the checkpoint where they say nothing.
fn over(given: Map<String, Value>, below: &FitOptions) -> JsResult<Map<String, Value>> {
    match serde_json::to_value(below) {
        Ok(Value::Object(mut all)) => {
            all.extend(given);
            Ok(all)
        }
        _ => Err(failure(&Error::internal("settings of a checkpoint are no object"))),
    }
}
