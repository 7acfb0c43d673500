use std::collections::BTreeMap;

use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::convert::{JsResult, OrThrow, to_js};
use crate::data::Image;
use crate::transfer::{LoadOptions, Model, Trunk};

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

#[wasm_bindgen]
impl WasmTrunk {
    /// Reads what `WasmModel.trunk` wrote.
    pub fn load(bytes: &[u8]) -> JsResult<WasmTrunk> {
        let files = BTreeMap::from([("trunk".to_owned(), bytes)]);
        let model = Model::load(&files, &LoadOptions::default()).or_throw()?;
        let trunk = Trunk::new(&model.graph, &model.preprocessing, None).or_throw()?;
        Ok(Self { trunk })
    }

    /// Names and shapes (without the batch) of the boundary tensors.
    pub fn tensors(&self) -> JsResult<JsValue> {
        let shape = |(name, shape): (String, crate::tensor::Shape)| TensorShape { name, shape: shape.to_vec() };
        to_js(&self.trunk.tensors().into_iter().map(shape).collect::<Vec<_>>())
    }

    /// Resizes, normalises and runs one image.
    pub fn featurize(&mut self, pixels: &[u8], width: u32, height: u32, channels: u8) -> JsResult<Vec<f32>> {
        let image = Image::new(pixels, width, height, channels).or_throw()?;
        self.trunk.featurize(image).or_throw()
    }
}
