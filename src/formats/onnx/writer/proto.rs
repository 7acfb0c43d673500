//! Short ways to write attributes and tensors.

use super::super::proto::{
    Attribute, Dimension, DimensionValue, Tensor, TensorShape, TensorType, Type, ValueInfo, attribute_type, data_type,
};

pub(super) fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: name.into(), i: Some(value), kind: attribute_type::INT, ..Default::default() }
}

pub(super) fn ints(name: &str, values: &[usize]) -> Attribute {
    Attribute { name: name.into(), ints: signed(values), kind: attribute_type::INTS, ..Default::default() }
}

pub(super) fn float(name: &str, value: f32) -> Attribute {
    Attribute { name: name.into(), f: Some(value), kind: attribute_type::FLOAT, ..Default::default() }
}

pub(super) fn text(name: &str, value: &str) -> Attribute {
    let s = Some(value.as_bytes().to_vec());
    Attribute { name: name.into(), s, kind: attribute_type::STRING, ..Default::default() }
}

pub(super) fn signed(values: &[usize]) -> Vec<i64> {
    // Extents and paddings are far below: see the bounds of `Graph` and `Window`.
    values.iter().map(|&v| i64::try_from(v).unwrap_or(i64::MAX)).collect()
}

pub(super) fn float_tensor(name: String, shape: &[usize], values: &[f32]) -> Tensor {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor { name, dims: signed(shape), data_type: data_type::FLOAT, raw_data: Some(raw.into()), ..Default::default() }
}

/// A vector of integers.
pub(super) fn int_tensor(name: String, values: &[i64]) -> Tensor {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let dims = signed(&[values.len()]);
    Tensor { name, dims, data_type: data_type::INT64, raw_data: Some(raw.into()), ..Default::default() }
}

/// Floats of a shape.
pub(super) fn value_info(name: String, dim: Vec<Dimension>) -> ValueInfo {
    let tensor_type = Some(TensorType { elem_type: data_type::FLOAT, shape: Some(TensorShape { dim }) });
    ValueInfo { name, ty: Some(Type { tensor_type }) }
}

/// Dimensions of a shape in which `None` grows with the batch, `two` being its extents for two images: what is the batch
/// gets its name, other such dimensions are left open.
pub(super) fn dimensions(shape: &[Option<usize>], two: &[usize], batch: &str) -> Vec<Dimension> {
    let dimension = |(extent, two): (&Option<usize>, &usize)| {
        let value = match extent {
            Some(extent) => Some(DimensionValue::Value(i64::try_from(*extent).unwrap_or(i64::MAX))),
            None => (*two == 2).then(|| DimensionValue::Param(batch.into())),
        };
        Dimension { value }
    };
    shape.iter().zip(two).map(dimension).collect()
}
