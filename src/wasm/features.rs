use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::convert::{JsResult, OrThrow, failure, from_js, tensors_to_js, to_js};
use crate::data::{FeatureSet, FeatureTensor};
use crate::error::Error;
use crate::formats::safetensors::FloatType;
use crate::tensor::Tensor;

/// Cached features.
#[wasm_bindgen]
pub struct WasmFeatures {
    pub(super) set: Arc<FeatureSet>,
}

#[derive(Deserialize)]
struct TensorShape {
    name: String,
    shape: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    count: usize,
    labels: Vec<String>,
    trunk_key: String,
    dtype: String,
    #[serde(default = "one")]
    views: usize,
}

fn one() -> usize {
    1
}

#[derive(Serialize)]
struct TensorInfo<'a> {
    name: &'a str,
    shape: &'a [usize],
    dtype: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    count: usize,
    labels: &'a [String],
    tensors: Vec<TensorInfo<'a>>,
    trunk_key: &'a str,
    views: usize,
    mixed: bool,
    ids: Vec<&'a str>,
}

#[wasm_bindgen]
impl WasmFeatures {
    /// Room for `count` images of `views` views each: row `image · views + view`, view 0 being the plain image.
    pub fn create(tensors: JsValue, options: JsValue) -> JsResult<WasmFeatures> {
        let tensors: Vec<TensorShape> = from_js(tensors, "tensors")?;
        let options: Options = from_js(options, "featurize")?;
        let dtype = match options.dtype.as_str() {
            "f32" => FloatType::F32,
            "f16" => FloatType::F16,
            other => return Err(failure(&Error::option("dtype", format!("f32 or f16, not {other}")))),
        };
        let tensors = tensors.into_iter().map(|t| FeatureTensor { name: t.name, shape: t.shape.into() }).collect();
        let too_many = || failure(&Error::option("views", "too many rows"));
        let rows = options.count.checked_mul(options.views).ok_or_else(too_many)?;
        let set = FeatureSet::new(tensors, rows, options.labels, options.trunk_key, dtype).or_throw()?;
        Ok(Self { set: Arc::new(set.with_views(options.views).or_throw()?) })
    }

    /// Reads what `save` wrote.
    pub fn load(bytes: &[u8]) -> JsResult<WasmFeatures> {
        Ok(Self { set: Arc::new(FeatureSet::load(bytes).or_throw()?) })
    }

    /// Another handle on the same features.
    pub fn share(&self) -> WasmFeatures {
        Self { set: Arc::clone(&self.set) }
    }

    /// Fills one row, with a target of any distribution; a negative group is none.
    pub fn set(&mut self, index: usize, target: &[f32], id: &str, group: i32, features: &[f32]) -> JsResult<()> {
        let set = Arc::get_mut(&mut self.set);
        let set = set.ok_or_else(|| failure(&Error::internal("features are filled before they are used")))?;
        set.set_row(index, target, id, u32::try_from(group).ok(), features).or_throw()
    }

    /// `FeaturesInfo` of the package; what is listed is listed by image.
    pub fn info(&self) -> JsResult<JsValue> {
        let dtype = match self.set.dtype() {
            FloatType::F32 => "f32",
            FloatType::F16 => "f16",
        };
        let tensor = |t: &'_ FeatureTensor| (t.name.clone(), t.shape.to_vec());
        let shapes: Vec<(String, Vec<usize>)> = self.set.tensors().iter().map(tensor).collect();
        let object = to_js(&Info {
            count: self.set.images(),
            labels: self.set.labels(),
            tensors: shapes.iter().map(|(name, shape)| TensorInfo { name, shape, dtype }).collect(),
            trunk_key: self.set.trunk_key(),
            views: self.set.views(),
            mixed: self.set.is_mixed(),
            ids: self.set.ids().iter().step_by(self.set.views()).map(String::as_str).collect(),
        })?;
        let labels: Vec<u32> = self.set.image_labels().into_iter().map(|l| l as u32).collect();
        super::convert::set(&object, "rowLabels", &js_sys::Uint32Array::from(labels.as_slice()).into());
        let group = |group: &Option<u32>| group.and_then(|g| i32::try_from(g).ok()).unwrap_or(-1);
        let groups: Vec<i32> = self.set.image_groups().iter().map(group).collect();
        super::convert::set(&object, "rowGroups", &js_sys::Int32Array::from(groups.as_slice()).into());
        Ok(object)
    }

    /// All features as `f32` tensors.
    #[wasm_bindgen(js_name = toTensors)]
    pub fn to_tensors(&self) -> JsResult<JsValue> {
        let rows: Vec<usize> = (0..self.set.count()).collect();
        let mut all = Vec::new();
        for (index, tensor) in self.set.tensors().iter().enumerate() {
            let shape: Vec<usize> = [rows.len()].iter().chain(tensor.shape.iter()).copied().collect();
            all.push((tensor.name.clone(), Tensor::f32(shape, self.set.gather(index, &rows)).or_throw()?));
        }
        Ok(tensors_to_js(&all))
    }

    /// Some images with all their views, copied, in this order.
    pub fn select(&self, images: &[u32]) -> JsResult<WasmFeatures> {
        let images: Vec<usize> = images.iter().map(|i| *i as usize).collect();
        Ok(Self { set: Arc::new(self.set.select(&images).or_throw()?) })
    }

    /// safetensors bytes.
    pub fn save(&self) -> JsResult<Vec<u8>> {
        self.set.save().or_throw()
    }
}
