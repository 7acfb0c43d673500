//! Between JavaScript values and ours.

use std::collections::BTreeMap;

use js_sys::{
    Array, BigInt64Array, Float32Array, Function, Int32Array, Map, Object, Reflect, Uint8Array, Uint8ClampedArray,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};

use crate::data::Image;
use crate::error::Error;
use crate::tensor::{Data, Tensor};

/// Results of everything JavaScript calls.
pub(super) type JsResult<T> = Result<T, JsValue>;

/// An `Error` object with the properties `code` and `vertex`.
pub(super) fn failure(error: &Error) -> JsValue {
    let object = js_sys::Error::new(&error.to_string());
    set(&object, "code", &error.code().into());
    if let Some(vertex) = error.vertex().filter(|v| !v.is_empty()) {
        set(&object, "vertex", &vertex.into());
    }
    object.into()
}

/// Turns our errors into thrown ones.
pub(super) trait OrThrow<T> {
    /// The value, or the error as JavaScript throws it.
    fn or_throw(self) -> JsResult<T>;
}

impl<T> OrThrow<T> for crate::Result<T> {
    fn or_throw(self) -> JsResult<T> {
        self.map_err(|e| failure(&e))
    }
}

/// A plain object; `None` is `null`, integers are numbers.
pub(super) fn to_js(value: &impl Serialize) -> JsResult<JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).map_err(|e| failure(&Error::internal(e.to_string())))
}

/// Reads options; what does not fit is `bad-option` under the given name.
///
/// By way of JSON: `serde_wasm_bindgen` asks an object for the fields of a struct, so that fields no struct has would pass.
pub(super) fn from_js<T: DeserializeOwned>(value: JsValue, option: &'static str) -> JsResult<T> {
    let wrong = |reason: String| failure(&Error::option(option, reason));
    let json: serde_json::Value = serde_wasm_bindgen::from_value(value).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_value(json).map_err(|e| wrong(e.to_string()))
}

/// Names, or `None` for `undefined`.
pub(super) fn names(value: JsValue, option: &'static str) -> JsResult<Option<Vec<String>>> {
    if value.is_undefined() || value.is_null() { Ok(None) } else { from_js(value, option).map(Some) }
}

/// Copies the entries of a `Map<string, Uint8Array>`.
pub(super) fn files(map: &Map) -> JsResult<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in map.entries() {
        let pair: Array = entry?.unchecked_into();
        let (name, bytes) = (pair.get(0).as_string(), pair.get(1).dyn_into::<Uint8Array>().ok());
        let (Some(name), Some(bytes)) = (name, bytes) else {
            return Err(failure(&Error::option("files", "a Map of names and Uint8Arrays")));
        };
        all.insert(name, bytes.to_vec());
    }
    Ok(all)
}

/// Files as a `Map<string, Uint8Array>`.
pub(super) fn file_map(files: &BTreeMap<String, Vec<u8>>) -> Map {
    let map = Map::new();
    for (name, bytes) in files {
        map.set(&name.into(), &Uint8Array::from(bytes.as_slice()).into());
    }
    map
}

/// Tensors by name as a plain object.
pub(super) fn tensors_to_js(tensors: &[(String, Tensor)]) -> JsValue {
    let all = Object::new();
    for (name, tensor) in tensors {
        set(&all, name, &tensor_to_js(tensor));
    }
    all.into()
}

fn tensor_to_js(tensor: &Tensor) -> JsValue {
    let (dtype, data): (&str, JsValue) = match tensor.data() {
        Data::F32(v) => ("f32", Float32Array::from(v.as_slice()).into()),
        Data::I32(v) => ("i32", Int32Array::from(v.as_slice()).into()),
        Data::I64(v) => ("i64", BigInt64Array::from(v.as_slice()).into()),
        Data::U8(v) => ("u8", Uint8Array::from(v.as_slice()).into()),
        Data::Bool(v) => {
            ("bool", Uint8Array::from(v.iter().map(|b| u8::from(*b)).collect::<Vec<_>>().as_slice()).into())
        }
    };
    let shape: Array = tensor.shape().iter().map(|d| JsValue::from(*d as f64)).collect();
    let object = Object::new();
    set(&object, "dtype", &dtype.into());
    set(&object, "shape", &shape);
    set(&object, "data", &data);
    object.into()
}

/// `f32` tensors of a plain object.
pub(super) fn tensors_from_js(object: &Object) -> JsResult<Vec<(String, Tensor)>> {
    let mut all = Vec::new();
    for key in Object::keys(object).iter() {
        let value = Reflect::get(object, &key)?;
        let name = key.as_string().unwrap_or_default();
        let data = Reflect::get(&value, &"data".into())?.dyn_into::<Float32Array>();
        let data = data.map_err(|_| failure(&Error::option("inputs", format!("'{name}' holds no Float32Array"))))?;
        let shape: Vec<usize> = from_js(Reflect::get(&value, &"shape".into())?, "inputs")?;
        all.push((name, Tensor::f32(shape, data.to_vec()).or_throw()?));
    }
    Ok(all)
}

/// Setting a property of an object we just made cannot fail.
pub(super) fn set(object: &JsValue, key: &str, value: &JsValue) {
    let _ = Reflect::set(object, &key.into(), value);
}

/// A clock that JavaScript reads: 0 where it gives no number.
pub(super) fn clock(now: &Function) -> impl FnMut() -> f64 {
    move || now.call0(&JsValue::UNDEFINED).ok().and_then(|t| t.as_f64()).unwrap_or_default()
}

/// Decoded pixels of a JavaScript object `{ data, width, height, channels }`.
pub(super) struct Pixels {
    data: Vec<u8>,
    width: u32,
    height: u32,
    channels: u8,
}

impl Pixels {
    pub(super) fn from_js(object: &JsValue) -> JsResult<Self> {
        let get = |name: &str| Reflect::get(object, &name.into());
        let data = get("data")?;
        let bytes = data.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec);
        let bytes = bytes.or_else(|| data.dyn_ref::<Uint8ClampedArray>().map(Uint8ClampedArray::to_vec));
        let data = bytes.ok_or_else(|| failure(&Error::BadImage { reason: "its data are no bytes".into() }))?;
        // What is no number, or too large a one, gives an image of no such size.
        let number = |name: &str| get(name).map(|value| value.as_f64().unwrap_or(0.0) as u32);
        let channels = u8::try_from(number("channels")?).unwrap_or(0);
        Ok(Self { data, width: number("width")?, height: number("height")?, channels })
    }

    pub(super) fn image(&self) -> JsResult<Image<'_>> {
        Image::new(&self.data, self.width, self.height, self.channels).or_throw()
    }
}
