use std::sync::Arc;

use wasm_bindgen::prelude::*;

use super::convert::{JsResult, OrThrow, failure, from_js, names, to_js};
use super::features::WasmFeatures;
use super::model::WasmModel;
use crate::error::Error;
use crate::train::{FitOptions, StoppedBy, Trainer};

/// Training in slices.
#[wasm_bindgen]
pub struct WasmTrainer {
    trainer: Trainer,
}

#[wasm_bindgen]
impl WasmTrainer {
    /// Compiles the training step. `validation` is taken; give it `share()` to keep a handle.
    pub fn create(
        model: &WasmModel,
        at: JsValue,
        train: &WasmFeatures,
        validation: Option<WasmFeatures>,
        options: JsValue,
    ) -> JsResult<WasmTrainer> {
        let options: FitOptions = from_js(options, "fit")?;
        let at = names(at, "at")?;
        let key = model.key(at.clone())?;
        train.set.check_trunk(&key).or_throw()?;
        if let Some(validation) = &validation {
            validation.set.check_trunk(&key).or_throw()?;
        }
        let tail = model.model.split(at.as_deref()).or_throw()?.tail;
        let options = model.model.fit_options(options);
        let validation = validation.map(|v| Arc::clone(&v.set));
        let trainer = Trainer::new(&tail, Arc::clone(&train.set), validation, options, None).or_throw()?;
        Ok(Self { trainer })
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

    /// Writes the parameters into the model and tells what the run brought.
    pub fn finish(&mut self, model: &mut WasmModel, stopped_by: JsValue) -> JsResult<JsValue> {
        let stopped_by: StoppedBy = from_js(stopped_by, "stoppedBy")?;
        if self.trainer.history(stopped_by).iterations.iter().any(|i| !i.loss.is_finite()) {
            let reason =
                "the loss became infinite or not a number; choose a lower learning rate. The model was left as it was";
            return Err(failure(&Error::option("updater", reason)));
        }
        model.model.update(self.trainer.parameters().or_throw()?).or_throw()?;
        model.changed();
        to_js(&self.trainer.history(stopped_by))
    }
}
