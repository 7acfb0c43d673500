//! The messages around the nodes.

use std::collections::BTreeMap;

use super::super::proto::{self, DimensionValue, attribute_type, data_type};
use super::nodes::int;
use crate::error::Result;
use crate::graph::{Graph, VertexId};
use crate::ops::Op;

/// Operator set of written files.
const OPSET: i64 = 17;
/// The one that gave AveragePool dilations.
const OPSET_OF_DILATED_AVERAGES: i64 = 19;
/// IR version that belongs to both (ONNX repository, `docs/Versioning.md`).
const IR_VERSION: i64 = 8;
const IR_VERSION_OF_DILATED_AVERAGES: i64 = 9;

/// Name of the batch dimension.
const BATCH: &str = "N";

/// Dimensions of each vertex's value.
pub(super) type Dimensions = Vec<Vec<proto::Dimension>>;

/// Dimensions of all values: the batch has a name, what else grows with it is left open.
pub(super) fn dimensions(graph: &Graph) -> Result<Dimensions> {
    let two = graph.with_batch(2)?;
    let dimension = |(known, two): (&Option<usize>, &usize)| {
        let value = match known {
            Some(extent) => Some(DimensionValue::Value(int(*extent))),
            None => (*two == 2).then(|| DimensionValue::Param(BATCH.into())),
        };
        proto::Dimension { value }
    };
    let shapes = graph.symbolic_shapes()?;
    Ok(shapes
        .iter()
        .zip(two.iter())
        .map(|(s, (_, v))| s.iter().zip(v.ty.shape.iter()).map(dimension).collect())
        .collect())
}

pub(super) fn model(
    mut dimensions: Dimensions,
    graph: &Graph,
    metadata: &BTreeMap<String, String>,
    node: Vec<proto::Node>,
    initializer: Vec<proto::Tensor>,
) -> proto::Model {
    let dilated = graph.iter().any(|(_, v)| matches!(&v.op, Op::AvgPool(op) if op.window.dilation != [1, 1]));
    let (version, ir_version) =
        if dilated { (OPSET_OF_DILATED_AVERAGES, IR_VERSION_OF_DILATED_AVERAGES) } else { (OPSET, IR_VERSION) };
    let mut values = |ids: &[VertexId]| -> Vec<proto::ValueInfo> {
        ids.iter().map(|id| value_info(&graph.get(*id).name, std::mem::take(&mut dimensions[id.index()]))).collect()
    };
    let (input, output) = (values(graph.inputs()), values(graph.outputs()));
    proto::Model {
        ir_version: Some(ir_version),
        producer_name: "regraft".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(proto::Graph { node, name: "regraft".into(), initializer, input, output }),
        opset_import: vec![proto::OperatorSet { domain: String::new(), version }],
        metadata_props: metadata.iter().map(|(k, v)| proto::Entry { key: k.clone(), value: v.clone() }).collect(),
    }
}

fn value_info(name: &str, dim: Vec<proto::Dimension>) -> proto::ValueInfo {
    let tensor_type = proto::TensorType { elem_type: data_type::FLOAT, shape: Some(proto::TensorShape { dim }) };
    proto::ValueInfo { name: name.into(), ty: Some(proto::Type { tensor_type: Some(tensor_type) }) }
}

fn tensor(name: &str, dims: Vec<i64>, data_type: i32, raw: Vec<u8>) -> proto::Tensor {
    proto::Tensor { name: name.into(), dims, data_type, raw_data: Some(raw), ..proto::Tensor::default() }
}

/// Elements are little-endian in every file (`onnx.proto`, comment of `raw_data`).
pub(super) fn f32_tensor(name: &str, shape: &[usize], values: &[f32]) -> proto::Tensor {
    let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, shape.iter().copied().map(int).collect(), data_type::FLOAT, raw)
}

/// A vector, not yet named.
pub(super) fn i64_tensor(values: &[i64]) -> proto::Tensor {
    let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor("", vec![int(values.len())], data_type::INT64, raw)
}

/// What an attribute can hold.
pub(super) trait AttributeValue {
    fn set(self, attribute: &mut proto::Attribute);
}

impl AttributeValue for i64 {
    fn set(self, attribute: &mut proto::Attribute) {
        (attribute.kind, attribute.i) = (attribute_type::INT, Some(self));
    }
}

impl AttributeValue for f32 {
    fn set(self, attribute: &mut proto::Attribute) {
        (attribute.kind, attribute.f) = (attribute_type::FLOAT, Some(self));
    }
}

impl AttributeValue for &str {
    fn set(self, attribute: &mut proto::Attribute) {
        (attribute.kind, attribute.s) = (attribute_type::STRING, Some(self.into()));
    }
}

impl AttributeValue for &[i64] {
    fn set(self, attribute: &mut proto::Attribute) {
        (attribute.kind, attribute.ints) = (attribute_type::INTS, self.to_vec());
    }
}

pub(super) fn attribute(name: &str, value: impl AttributeValue) -> proto::Attribute {
    let mut attribute = proto::Attribute { name: name.into(), ..proto::Attribute::default() };
    value.set(&mut attribute);
    attribute
}
