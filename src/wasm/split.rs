use js_sys::{Array, Object, Uint32Array};
use wasm_bindgen::prelude::*;

use super::convert::{JsResult, OrThrow, set};
use crate::data::{self, Split};

/// Positions of the training and the test side.
#[wasm_bindgen(js_name = splitIndices)]
pub fn split_indices(labels: &[u32], groups: &[i32], fraction: f64, seed: f64, stratified: bool) -> JsResult<JsValue> {
    let sides = data::split(&wide(labels), &grouped(groups), fraction, stratified, seed as u64).or_throw()?;
    Ok(to_object(&sides))
}

/// Positions of a subset with equally many of each label.
#[wasm_bindgen(js_name = balancedIndices)]
pub fn balanced_indices(labels: &[u32], per_label: Option<u32>, seed: f64) -> JsResult<Vec<u32>> {
    let rows = data::balanced(&wide(labels), per_label.map(|n| n as usize), seed as u64).or_throw()?;
    Ok(narrow(&rows))
}

/// Positions of both sides of each of `k` folds.
#[wasm_bindgen(js_name = foldIndices)]
pub fn fold_indices(labels: &[u32], groups: &[i32], k: usize, seed: f64) -> JsResult<Array> {
    let folds = data::folds(&wide(labels), &grouped(groups), k, seed as u64).or_throw()?;
    Ok(folds.iter().map(to_object).collect())
}

fn to_object(split: &Split) -> JsValue {
    let object = Object::new();
    set(&object, "train", &Uint32Array::from(narrow(&split.train).as_slice()).into());
    set(&object, "test", &Uint32Array::from(narrow(&split.test).as_slice()).into());
    object.into()
}

fn wide(values: &[u32]) -> Vec<usize> {
    values.iter().map(|v| *v as usize).collect()
}

fn narrow(values: &[usize]) -> Vec<u32> {
    values.iter().map(|v| *v as u32).collect()
}

/// Negative ids mean no group.
fn grouped(groups: &[i32]) -> Vec<Option<u32>> {
    groups.iter().map(|g| u32::try_from(*g).ok()).collect()
}
