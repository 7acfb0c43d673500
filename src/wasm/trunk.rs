use std::collections::BTreeMap;
#[cfg(feature = "threads")]
use std::sync::{Mutex, PoisonError};

use js_sys::{Float32Array, Function, Promise};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::convert::{JsResult, OrThrow, Pixels, clock, from_js, names, to_js};
use super::device::WasmDevice;
use super::lent::Lent;
use super::model::WasmModel;
use crate::data::{Augmentation, Image, Preprocessing, Size, Views};
#[cfg(feature = "threads")]
use crate::error::Error;
use crate::tensor::Shape;
#[cfg(feature = "threads")]
use crate::transfer::TrunkSibling;
use crate::transfer::{LoadOptions, Model, Trunk};

/// Trunks on their way from one thread to another.
#[cfg(feature = "threads")]
struct HandedOver {
    count: u32,
    trunks: BTreeMap<u32, TrunkSibling>,
}

#[cfg(feature = "threads")]
static HANDED_OVER: Mutex<HandedOver> = Mutex::new(HandedOver { count: 0, trunks: BTreeMap::new() });

/// The frozen part in a pool worker.
#[wasm_bindgen]
pub struct WasmTrunk {
    trunk: Trunk,
}

/// A boundary tensor.
#[derive(Serialize)]
pub(super) struct TensorShape {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
}

fn shapes(tensors: Vec<(String, Shape)>) -> JsResult<JsValue> {
    let shape = |(name, shape): (String, Shape)| TensorShape { name, shape: shape.to_vec() };
    to_js(&tensors.into_iter().map(shape).collect::<Vec<_>>())
}

#[wasm_bindgen]
impl WasmTrunk {
    /// Reads what `WasmModel.trunk` wrote.
    pub fn load(bytes: &[u8]) -> JsResult<WasmTrunk> {
        let files = BTreeMap::from([("trunk".to_owned(), bytes)]);
        let model = Model::load(&files, &LoadOptions::default()).or_throw()?;
        let trunk = Trunk::new(&model.graph, &model.preprocessing, None).or_throw()?;
        Ok(Self { trunk })
    }

    /// The frozen part of a model in this memory.
    #[cfg(feature = "threads")]
    pub fn of(model: &WasmModel, at: JsValue) -> JsResult<WasmTrunk> {
        let split = model.model.split(names(at, "at")?.as_deref()).or_throw()?;
        Ok(Self { trunk: Trunk::new(&split.trunk, &model.model.preprocessing, None).or_throw()? })
    }

    /// Makes a trunk on the same weights for an instance in another thread: the number that `take` wants there, once.
    #[cfg(feature = "threads")]
    #[wasm_bindgen(js_name = handOver)]
    pub fn hand_over(&self) -> JsResult<u32> {
        let sibling = self.trunk.sibling().or_throw()?;
        let mut handed = HANDED_OVER.lock().unwrap_or_else(PoisonError::into_inner);
        handed.count = handed.count.wrapping_add(1);
        let number = handed.count;
        handed.trunks.insert(number, sibling);
        Ok(number)
    }

    /// Takes what another instance handed over.
    #[cfg(feature = "threads")]
    pub fn take(number: u32) -> JsResult<WasmTrunk> {
        let mut handed = HANDED_OVER.lock().unwrap_or_else(PoisonError::into_inner);
        let trunk = handed.trunks.remove(&number).ok_or_else(|| Error::internal(format!("no trunk {number}")));
        Ok(Self { trunk: trunk.or_throw()?.into() })
    }

    /// Names and shapes (without the batch) of the boundary tensors.
    pub fn tensors(&self) -> JsResult<JsValue> {
        shapes(self.trunk.tensors())
    }

    /// Resizes, normalises and runs one image.
    pub fn featurize(&mut self, pixels: &[u8], width: u32, height: u32, channels: u8) -> JsResult<Vec<f32>> {
        let image = Image::new(pixels, width, height, channels).or_throw()?;
        self.trunk.featurize(image).or_throw()
    }

    /// Like `featurize` for view `view` of sample `index`. `image` and `partner` are `{ data, width, height, channels }`; the
    /// partner is the sample that `views.partner(index, view)` names, if it names one.
    #[wasm_bindgen(js_name = featurizeView)]
    pub fn featurize_view(
        &mut self,
        views: &WasmViews,
        index: usize,
        view: usize,
        image: &JsValue,
        partner: &JsValue,
    ) -> JsResult<Vec<f32>> {
        let image = Pixels::from_js(image)?;
        let partner = if partner.is_undefined() { None } else { Some(Pixels::from_js(partner)?) };
        let partner = partner.as_ref().map(Pixels::image).transpose()?;
        self.trunk.featurize_view(&views.views, (index, view), image.image()?, partner).or_throw()
    }
}

/// The frozen part on a device, for a batch of preprocessed images at a time.
#[wasm_bindgen]
pub struct WasmBatchTrunk {
    trunk: Lent<Trunk>,
}

#[wasm_bindgen]
impl WasmBatchTrunk {
    /// Compiles the part of the model before the cut `at`.
    pub fn create(device: &WasmDevice, model: &WasmModel, at: JsValue, batch: usize) -> JsResult<WasmBatchTrunk> {
        let at = names(at, "at")?;
        let split = model.model.split(at.as_deref()).or_throw()?;
        let trunk = Trunk::on(&device.device, &split.trunk, &model.model.preprocessing, batch, None).or_throw()?;
        Ok(Self { trunk: Lent::new(trunk) })
    }

    /// As of `WasmTrunk`.
    pub fn tensors(&self) -> JsResult<JsValue> {
        let tensors = self.trunk.with(|trunk| Ok(trunk.tensors()))?;
        shapes(tensors)
    }

    /// A promise of `StepTime[]` of a run on what the last one left, by `now`, a function that gives milliseconds.
    pub fn profile(&self, now: Function) -> Promise {
        self.trunk.promise(async move |trunk| to_js(&trunk.profile(&mut clock(&now)).await.or_throw()?))
    }

    /// Resolves to the features of images that `WasmPreprocessing` made, one image after the other.
    pub fn run(&self, pixels: Vec<f32>) -> Promise {
        self.trunk.promise(async move |trunk| {
            let features = trunk.run(&pixels).await.or_throw()?;
            Ok(Float32Array::from(features.as_slice()).into())
        })
    }
}

/// Makes images the input of a network.
#[wasm_bindgen]
pub struct WasmPreprocessing {
    preprocessing: Preprocessing,
}

#[wasm_bindgen]
impl WasmPreprocessing {
    /// From `Preprocessing` of the package.
    pub fn create(preprocessing: JsValue) -> JsResult<WasmPreprocessing> {
        Ok(Self { preprocessing: from_js(preprocessing, "preprocessing")? })
    }

    /// The image resized and normalised: `[height, width, 3]`.
    pub fn image(&self, pixels: &[u8], width: u32, height: u32, channels: u8) -> JsResult<Vec<f32>> {
        let image = Image::new(pixels, width, height, channels).or_throw()?;
        let mut out = vec![0.0; self.preprocessing.len()];
        self.preprocessing.preprocess(image, &mut out).or_throw()?;
        Ok(out)
    }

    /// The same for a view, as of `WasmTrunk`.
    pub fn view(
        &self,
        views: &WasmViews,
        index: usize,
        view: usize,
        image: &JsValue,
        partner: &JsValue,
    ) -> JsResult<Vec<f32>> {
        let image = Pixels::from_js(image)?;
        let partner = if partner.is_undefined() { None } else { Some(Pixels::from_js(partner)?) };
        let partner = partner.as_ref().map(Pixels::image).transpose()?;
        let mut out = vec![0.0; self.preprocessing.len()];
        views.views.render(&self.preprocessing, (index, view), image.image()?, partner, &mut out).or_throw()?;
        Ok(out)
    }
}

/// The augmented views of a data set's images. Any worker that makes one of the same values gets the same views.
#[wasm_bindgen]
pub struct WasmViews {
    views: Views,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewOptions {
    seed: u64,
    count: usize,
    size: Size,
}

#[wasm_bindgen]
impl WasmViews {
    /// `options`: `{ seed, count, size }`, the number of samples and the size of the preprocessing.
    pub fn create(augmentation: JsValue, options: JsValue) -> JsResult<WasmViews> {
        let augmentation: Augmentation = from_js(augmentation, "augmentation")?;
        let ViewOptions { seed, count, size } = from_js(options, "augmentation")?;
        Ok(Self { views: Views::new(augmentation, seed, count, size).or_throw()? })
    }

    /// The sample that a view is mixed with, if it is.
    pub fn partner(&self, index: usize, view: usize) -> Option<usize> {
        self.views.mix(index, view).map(|mix| mix.partner)
    }

    /// The target of a view, from its sample's own and its partner's.
    pub fn target(&self, index: usize, view: usize, own: &[f32], partner: &[f32]) -> Vec<f32> {
        self.views.mix(index, view).map_or_else(|| own.to_vec(), |mix| mix.target(own, partner))
    }
}
