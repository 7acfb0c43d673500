use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::futures::future_to_promise;
use js_sys::{Function, Map, Object, Promise};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::convert::{self, JsResult, OrThrow, from_js, names, to_js};
use super::device::WasmDevice;
use super::features::WasmFeatures;
use super::lent::Lent;
use crate::data::{Image, Preprocessing};
use crate::formats::Format;
use crate::graph::VertexSummary;
use crate::tensor::Tensor;
use crate::transfer::{
    ClassifierOptions, Edit, ExportOptions, GradCam, LoadOptions, Model, Prediction, Predictor, Runner, TensorInfo,
};

thread_local! {
    static LIVE_TENSORS: Cell<usize> = const { Cell::new(0) };
}

/// Tensors of all models that were not freed.
pub(super) fn live_tensors() -> usize {
    LIVE_TENSORS.get()
}

/// A model.
#[wasm_bindgen]
pub struct WasmModel {
    pub(super) model: Model,
    predictor: RefCell<Option<Predictor>>,
    /// The plan of the last run: the next one is mostly like it.
    runner: RefCell<Option<Runner>>,
    /// The same two on a GPU.
    gpu_predictor: RefCell<Option<Rc<Lent<Predictor>>>>,
    gpu_runner: RefCell<Option<Rc<Lent<Runner>>>>,
    /// Hashing a trunk reads all its weights; the key of each cut is kept.
    keys: RefCell<BTreeMap<Option<Vec<String>>, String>>,
    tensors: usize,
}

impl Drop for WasmModel {
    fn drop(&mut self) {
        LIVE_TENSORS.set(LIVE_TENSORS.get() - self.tensors);
    }
}

impl WasmModel {
    fn new(model: Model) -> Self {
        let tensors = model.graph.iter().filter(|(_, v)| v.is_stored()).count();
        LIVE_TENSORS.set(LIVE_TENSORS.get() + tensors);
        Self {
            model,
            predictor: RefCell::default(),
            runner: RefCell::default(),
            gpu_predictor: RefCell::default(),
            gpu_runner: RefCell::default(),
            keys: RefCell::default(),
            tensors,
        }
    }

    pub(super) fn key(&self, at: Option<Vec<String>>) -> JsResult<String> {
        if let Some(key) = self.keys.borrow().get(&at) {
            return Ok(key.clone());
        }
        let split = self.model.split(at.as_deref()).or_throw()?;
        let key = self.model.trunk_key(&split).or_throw()?;
        self.keys.borrow_mut().insert(at, key.clone());
        Ok(key)
    }

    /// To be called after parameters changed.
    pub(super) fn changed(&mut self) {
        self.predictor.replace(None);
        self.runner.replace(None);
        self.forget_gpu();
        self.keys.borrow_mut().clear();
    }

    fn with_predictor<R>(&self, body: impl FnOnce(&mut Predictor) -> crate::Result<R>) -> crate::Result<R> {
        let mut kept = self.predictor.borrow_mut();
        let predictor = match kept.take() {
            Some(predictor) => predictor,
            None => Predictor::new(&self.model)?,
        };
        body(kept.insert(predictor))
    }

    fn with_runner<R>(
        &self,
        inputs: &[(String, Tensor)],
        outputs: Option<&[String]>,
        body: impl FnOnce(&mut Runner) -> crate::Result<R>,
    ) -> crate::Result<R> {
        let mut kept = self.runner.borrow_mut();
        match kept.as_mut() {
            Some(runner) if runner.fits(&self.model, inputs, outputs)? => body(runner),
            _ => {
                // The old plan goes before the new one comes: together they might not fit.
                *kept = None;
                body(kept.insert(Runner::new(&self.model, inputs, outputs)?))
            }
        }
    }

    fn checked(&self, features: &WasmFeatures, at: JsValue) -> JsResult<Option<Vec<String>>> {
        let at = names(at, "at")?;
        features.set.check_trunk(&self.key(at.clone())?).or_throw()?;
        Ok(at)
    }
}

#[derive(Serialize)]
struct Info<'a> {
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    vertices: Vec<VertexSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a [String]>,
    preprocessing: &'a Preprocessing,
    parameters: Parameters,
}

#[derive(Serialize)]
struct Parameters {
    total: usize,
    trainable: usize,
    frozen: usize,
}

#[wasm_bindgen]
impl WasmModel {
    /// Reads a model from `Map<string, Uint8Array>`.
    pub fn load(files: &Map, options: JsValue) -> JsResult<WasmModel> {
        let options: LoadOptions = from_js(options, "load")?;
        let owned = convert::files(files)?;
        let views = owned.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())).collect();
        Model::load(&views, &options).or_throw().map(Self::new)
    }

    /// `ModelInfo` of the package.
    pub fn info(&self) -> JsResult<JsValue> {
        let model = &self.model;
        let (total, trainable) = model.graph.count_parameters();
        let [inputs, outputs] = model.signature().or_throw()?;
        to_js(&Info {
            inputs,
            outputs,
            vertices: model.graph.summary().or_throw()?,
            labels: model.labels.as_deref(),
            preprocessing: &model.preprocessing,
            parameters: Parameters { total, trainable, frozen: total - trainable },
        })
    }

    /// Tells the SHA-256 of its file, in hexadecimal digits, for the provenance.
    #[wasm_bindgen(js_name = setDigest)]
    pub fn set_digest(&mut self, digest: String) {
        self.model.set_digest(digest);
    }

    /// Seed of its configuration: what training and views are drawn from where no other is given.
    pub fn seed(&self) -> f64 {
        self.model.configuration.seed.unwrap_or_default() as f64
    }

    /// Raw inference.
    pub fn run(&self, inputs: &Object, outputs: JsValue) -> JsResult<JsValue> {
        let inputs = convert::tensors_from_js(inputs)?;
        let outputs = names(outputs, "outputs")?;
        let results = self.with_runner(&inputs, outputs.as_deref(), |runner| runner.run(&inputs)).or_throw()?;
        Ok(convert::tensors_to_js(&results))
    }

    /// `run` on a device: a promise of the same.
    #[wasm_bindgen(js_name = runOn)]
    pub fn run_on(&self, device: &WasmDevice, inputs: &Object, outputs: JsValue) -> JsResult<Promise> {
        let inputs = convert::tensors_from_js(inputs)?;
        let outputs = names(outputs, "outputs")?;
        let mut made = self.gpu_runner.borrow_mut();
        let fits = |runner: &Rc<Lent<Runner>>| runner.with(|it| it.fits(&self.model, &inputs, outputs.as_deref()));
        let fitting = match made.take() {
            Some(runner) if fits(&runner)? => runner,
            // The old plan goes before the new one comes: together they might not fit.
            other => {
                drop(other);
                let runner = Runner::on(&device.device, &self.model, &inputs, outputs.as_deref());
                Rc::new(Lent::new(runner.or_throw()?))
            }
        };
        Ok(made
            .insert(fitting)
            .promise(async move |runner| Ok(convert::tensors_to_js(&runner.run_ahead(&inputs).await.or_throw()?))))
    }

    /// `StepTime[]` of a run: what each step did and how long it took by `now`, a function that gives milliseconds.
    pub fn profile(&self, inputs: &Object, now: &Function) -> JsResult<JsValue> {
        let inputs = convert::tensors_from_js(inputs)?;
        let mut clock = convert::clock(now);
        to_js(&self.with_runner(&inputs, None, |runner| runner.profile(&inputs, &mut clock)).or_throw()?)
    }

    /// Recorded edits, applied to a copy.
    pub fn edit(&self, edits: JsValue) -> JsResult<WasmModel> {
        let edits: Vec<Edit> = from_js(edits, "transferLearning")?;
        self.model.edited(&edits).or_throw().map(Self::new)
    }

    /// Parameters that were drawn anew by the edits that made this model.
    pub fn reinitialized(&self) -> Vec<String> {
        self.model.reinitialized.clone()
    }

    /// A copy with a new softmax head.
    pub fn classifier(&self, options: JsValue) -> JsResult<WasmModel> {
        let options: ClassifierOptions = from_js(options, "classifier")?;
        self.model.classifier(&options).or_throw().map(Self::new)
    }

    /// Names of the boundary vertices.
    pub fn boundary(&self, at: JsValue) -> JsResult<Vec<String>> {
        let at = names(at, "at")?;
        Ok(self.model.split(at.as_deref()).or_throw()?.boundary)
    }

    /// Key of the trunk.
    #[wasm_bindgen(js_name = trunkKey)]
    pub fn trunk_key(&self, at: JsValue) -> JsResult<String> {
        self.key(names(at, "at")?)
    }

    /// The frozen part as bytes for `WasmTrunk`.
    pub fn trunk(&self, at: JsValue) -> JsResult<Vec<u8>> {
        let at = names(at, "at")?;
        let split = self.model.split(at.as_deref()).or_throw()?;
        self.model.trunk_file(&split.trunk).or_throw()
    }

    /// The trainable part alone, with the parameters' present values.
    pub fn unfrozen(&self, at: JsValue) -> JsResult<WasmModel> {
        let at = names(at, "at")?;
        let graph = self.model.split(at.as_deref()).or_throw()?.tail;
        Ok(Self::new(Model { graph, ..self.model.clone() }))
    }

    /// A promise of the outputs for every row of the features, made on a device.
    #[wasm_bindgen(js_name = outputFromFeatures)]
    pub fn output_from_features(&self, device: &WasmDevice, features: &WasmFeatures, at: JsValue) -> JsResult<Promise> {
        let at = self.checked(features, at)?;
        let (device, model, set) = (device.device.clone(), self.model.clone(), Arc::clone(&features.set));
        Ok(future_to_promise(async move {
            let outputs = model.output_from_features_on(&device, &set, at.as_deref()).await.or_throw()?;
            Ok(convert::tensors_to_js(&outputs))
        }))
    }

    /// A promise of `Evaluation` of the package, made on a device; `text` is what its `toString` prints.
    pub fn evaluate(
        &self,
        device: &WasmDevice,
        features: &WasmFeatures,
        options: JsValue,
        at: JsValue,
    ) -> JsResult<Promise> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Options {
            top_n: Option<usize>,
        }
        let Options { top_n } = from_js(options, "evaluate")?;
        let at = self.checked(features, at)?;
        let (device, model, set) = (device.device.clone(), self.model.clone(), Arc::clone(&features.set));
        Ok(future_to_promise(async move {
            let evaluation = model.evaluate_on(&device, &set, top_n, at.as_deref()).await.or_throw()?;
            let object = to_js(&evaluation)?;
            convert::set(&object, "text", &evaluation.to_string().into());
            Ok(object)
        }))
    }

    /// Plans what `predict` does, which does it itself where this was not called.
    #[wasm_bindgen(js_name = planPredict)]
    pub fn plan_predict(&self) -> JsResult<()> {
        self.with_predictor(|_| Ok(())).or_throw()
    }

    /// The `topK` most probable classes of one image.
    pub fn predict(&self, pixels: &[u8], width: u32, height: u32, channels: u8, top_k: usize) -> JsResult<JsValue> {
        let image = Image::new(pixels, width, height, channels).or_throw()?;
        let predictions: Vec<Prediction> = self.with_predictor(|it| it.predict(image, top_k)).or_throw()?;
        to_js(&predictions)
    }

    /// `predict` on a device: a promise of the same, for an image that `WasmPreprocessing` made.
    #[wasm_bindgen(js_name = predictOn)]
    pub fn predict_on(&self, device: &WasmDevice, pixels: Vec<f32>, top_k: usize) -> JsResult<Promise> {
        let mut made = self.gpu_predictor.borrow_mut();
        let predictor = match &*made {
            Some(predictor) => Rc::clone(predictor),
            None => Rc::new(Lent::new(Predictor::on(&device.device, &self.model).or_throw()?)),
        };
        *made = Some(Rc::clone(&predictor));
        Ok(predictor.promise(async move |predictor| to_js(&predictor.predict_pixels(&pixels, top_k).await.or_throw()?)))
    }

    /// Frees what `runOn` and `predictOn` keep on their device.
    #[wasm_bindgen(js_name = forgetGpu)]
    pub fn forget_gpu(&self) {
        self.gpu_predictor.replace(None);
        self.gpu_runner.replace(None);
    }

    /// `CutPoint[]` of the package.
    #[wasm_bindgen(js_name = cutPoints)]
    pub fn cut_points(&self) -> JsResult<JsValue> {
        to_js(&self.model.graph.cut_points().or_throw()?)
    }

    /// `{ width, height, data }`: where the model looked.
    #[wasm_bindgen(js_name = gradCam)]
    pub fn grad_cam(
        &self,
        pixels: &[u8],
        width: u32,
        height: u32,
        channels: u8,
        label: Option<String>,
        at: Option<String>,
    ) -> JsResult<JsValue> {
        let image = Image::new(pixels, width, height, channels).or_throw()?;
        let mut cam = GradCam::new(&self.model, at.as_deref()).or_throw()?;
        let map = cam.map(image, label.as_deref()).or_throw()?;
        let object = Object::new();
        convert::set(&object, "width", &map.width.into());
        convert::set(&object, "height", &map.height.into());
        convert::set(&object, "data", &js_sys::Float32Array::from(map.data.as_slice()).into());
        Ok(object.into())
    }

    /// `{ files: Map, verified }`.
    pub fn export(&self, format: JsValue, options: JsValue) -> JsResult<JsValue> {
        let format: Format = from_js(format, "format")?;
        let options: ExportOptions = from_js(options, "export")?;
        let export = self.model.export(format, &options).or_throw()?;
        let object = Object::new();
        convert::set(&object, "files", &convert::file_map(&export.files));
        convert::set(&object, "verified", &to_js(&export.verified)?);
        Ok(object.into())
    }
}
