use std::sync::Arc;

use js_sys::{Function, Promise};
use serde_json::{Map, Value};
use wasm_bindgen::prelude::*;

use super::convert::{JsResult, OrThrow, clock, failure, from_js, names, to_js};
use super::device::WasmDevice;
use super::features::WasmFeatures;
use super::lent::Lent;
use super::model::WasmModel;
use crate::error::Error;
use crate::train::{Checkpoint, FitOptions, StoppedBy, Trainer};

/// Training in slices.
#[wasm_bindgen]
pub struct WasmTrainer {
    trainer: Lent<Trainer>,
}

#[wasm_bindgen]
impl WasmTrainer {
    /// Compiles the training step for a device. `validation` is taken; give it `share()` to keep a handle. With a checkpoint, its settings
    /// hold where `options` says nothing.
    pub fn create(
        device: &WasmDevice,
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
            None => model.model.trainer_on(&device.device, at.as_deref(), train, validation, parse(given)?),
            Some(bytes) => {
                let mut checkpoint = Checkpoint::read(&bytes).or_throw()?;
                checkpoint.options = parse(over(given, &checkpoint.options)?)?;
                model.model.resumed_trainer_on(&device.device, at.as_deref(), train, validation, checkpoint)
            }
        };
        Ok(Self { trainer: Lent::new(trainer.or_throw()?) })
    }

    /// Trains for about `budgetMs`, at least one update, and not past the end of an epoch. On a GPU the status may be some updates
    /// behind what was handed to it.
    pub fn run(&self, budget_ms: f64) -> Promise {
        self.trainer.promise(async move |trainer| {
            let end = js_sys::Date::now() + budget_ms;
            loop {
                let status = trainer.advance().await.or_throw()?;
                if status.finished || status.epoch_ended || js_sys::Date::now() >= end {
                    return to_js(&status);
                }
            }
        })
    }

    /// Resolves when `checkpoint` and `finish` can give what all updates so far did.
    pub fn arrive(&self) -> Promise {
        self.trainer.promise(async |trainer| {
            trainer.arrive().await.or_throw()?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Goes on on another device from the end of the last epoch.
    #[wasm_bindgen(js_name = moveTo)]
    pub fn move_to(&self, device: &WasmDevice) -> JsResult<()> {
        self.trainer.with(|trainer| trainer.move_to(&device.device))
    }

    /// A promise of `StepTime[]` of one step, by `now`, a function that gives milliseconds. For measuring alone: the run does not
    /// count it.
    pub fn profile(&self, now: Function) -> Promise {
        self.trainer.promise(async move |trainer| to_js(&trainer.profile(&mut clock(&now)).await.or_throw()?))
    }

    /// Ends the run as early stopping does.
    pub fn stop(&self) -> JsResult<()> {
        self.trainer.with(|trainer| {
            trainer.stop();
            Ok(())
        })
    }

    /// The run as bytes that `create` takes.
    pub fn checkpoint(&self) -> JsResult<Vec<u8>> {
        self.trainer.with(|trainer| trainer.checkpoint())
    }

    /// Writes the parameters into the model and tells what the run brought.
    pub fn finish(&self, model: &mut WasmModel, stopped_by: JsValue) -> JsResult<JsValue> {
        let stopped_by: StoppedBy = from_js(stopped_by, "stoppedBy")?;
        let history = self.trainer.with(|trainer| {
            // Losses that came after the caller had stopped may have been no numbers.
            let diverged = trainer.stopped_by().filter(|by| *by == StoppedBy::Diverged);
            let stopped_by = diverged.unwrap_or(stopped_by);
            model.model.update(trainer.parameters(stopped_by)?)?;
            Ok(trainer.history(stopped_by))
        })?;
        model.changed();
        to_js(&history)
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
