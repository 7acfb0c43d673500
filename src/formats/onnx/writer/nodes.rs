//! Vertices as nodes of operator set 17 (ONNX repository, `docs/Operators.md`).

use super::model::{attribute, f32_tensor, i64_tensor};
use super::{Form, Writer};
use crate::error::{Error, Result};
use crate::graph::Vertex;
use crate::ops::{AvgPool, Clamp, Conv2d, DepthwiseConv2d, Dim, Layout, MatMul, Op, Window};
use crate::tensor::Shape;

use super::super::proto::Attribute;

pub(super) fn write(w: &mut Writer<'_>, vertex: &Vertex, op: &Op) -> Result<()> {
    let name = &vertex.name;
    let axis = |axis: usize| vec![attribute("axis", int(axis))];
    match op {
        Op::Conv2d(op) => return conv2d(w, vertex, op),
        Op::DepthwiseConv2d(op) => return depthwise_conv2d(w, vertex, op),
        Op::BatchNorm(op) => {
            let weights = w.values(&vertex.inputs[1..])?;
            return w.spatial(vertex, op.layout, "BatchNormalization", weights, vec![attribute("epsilon", op.epsilon)]);
        }
        Op::MaxPool(op) => {
            let mut attributes = pooling(op.kernel, &op.window, op.ceil);
            attributes.push(attribute("dilations", ints(&op.window.dilation).as_slice()));
            return w.spatial(vertex, op.layout, "MaxPool", Vec::new(), attributes);
        }
        Op::AvgPool(op) => return w.spatial(vertex, op.layout, "AveragePool", Vec::new(), average(op)),
        Op::GlobalAvgPool(op) if op.layout == Layout::Nchw => {
            return w.spatial(vertex, op.layout, "GlobalAveragePool", Vec::new(), Vec::new());
        }
        _ => {}
    }
    let mut inputs = w.values(&vertex.inputs)?;
    let (op_type, attributes) = match op {
        Op::GlobalAvgPool(_) => ("ReduceMean", vec![attribute("axes", &[1, 2][..]), attribute("keepdims", 1)]),
        Op::Dense(op) => {
            refuse_fused(vertex, op.clamp.is_some())?;
            ("Gemm", Vec::new())
        }
        Op::MatMul(MatMul { trans_a: false, trans_b: false }) => ("MatMul", Vec::new()),
        Op::MatMul(op) => {
            let flag = |name, set| attribute(name, i64::from(set));
            ("Gemm", vec![flag("transA", op.trans_a), flag("transB", op.trans_b)])
        }
        Op::Clip(op) if op.clamp == Clamp::RELU => ("Relu", Vec::new()),
        Op::Clip(op) => {
            for (part, bound) in [("min", op.clamp.min), ("max", op.clamp.max)] {
                inputs.push(bound.map(|bound| w.own(name, part, f32_tensor("", &[], &[bound]))).unwrap_or_default());
            }
            ("Clip", Vec::new())
        }
        Op::Sigmoid(_) => ("Sigmoid", Vec::new()),
        Op::Add(_) => ("Add", Vec::new()),
        Op::Multiply(_) => ("Mul", Vec::new()),
        Op::Scale(op) => {
            inputs.push(w.own(name, "factor", f32_tensor("", &[], &[op.factor])));
            ("Mul", Vec::new())
        }
        Op::Concat(op) => ("Concat", axis(op.axis)),
        Op::Slice(op) => {
            for (part, value) in [("start", op.start), ("end", op.start + op.len), ("axis", op.axis)] {
                inputs.push(w.own(name, part, i64_tensor(&[int(value)])));
            }
            ("Slice", Vec::new())
        }
        Op::Pad(op) => {
            inputs.push(w.own(name, "pads", i64_tensor(&ints(&[op.before.as_slice(), &op.after].concat()))));
            inputs.push(w.own(name, "value", f32_tensor("", &[], &[op.value])));
            ("Pad", vec![attribute("mode", "constant")])
        }
        Op::Reshape(op) => {
            inputs.push(w.own(name, "shape", i64_tensor(&target(&op.dims))));
            ("Reshape", Vec::new())
        }
        Op::Flatten(op) => ("Flatten", axis(op.axis)),
        Op::Transpose(op) => ("Transpose", vec![attribute("perm", ints(&op.perm).as_slice())]),
        Op::Softmax(op) => ("Softmax", axis(op.axis)),
        Op::Dropout(op) => {
            inputs.push(w.own(name, "ratio", f32_tensor("", &[], &[op.rate])));
            ("Dropout", Vec::new())
        }
        _ => return Err(internal(vertex, format!("{} is no part of a model", op.name()))),
    };
    w.node(name, op_type, inputs, attributes);
    Ok(())
}

fn conv2d(w: &mut Writer<'_>, vertex: &Vertex, op: &Conv2d) -> Result<()> {
    refuse_fused(vertex, op.clamp.is_some() || op.residual)?;
    convolution(w, vertex, Form::Filters, &op.window, op.groups, op.layout)
}

fn depthwise_conv2d(w: &mut Writer<'_>, vertex: &Vertex, op: &DepthwiseConv2d) -> Result<()> {
    refuse_fused(vertex, op.clamp.is_some())?;
    let channels = vertex.ty.shape[op.layout.channel_axis()];
    convolution(w, vertex, Form::ChannelFilters, &op.window, channels, op.layout)
}

fn convolution(
    w: &mut Writer<'_>,
    vertex: &Vertex,
    form: Form,
    window: &Window,
    groups: usize,
    layout: Layout,
) -> Result<()> {
    let filters = vertex.inputs[1];
    let kernel = kernel(&w.graph.get(filters).ty.shape);
    let mut weights = vec![w.stored(filters, form)?];
    weights.extend(w.values(&vertex.inputs[2..])?);
    let mut attributes = windowed(kernel, window);
    attributes.push(attribute("dilations", ints(&window.dilation).as_slice()));
    attributes.push(attribute("group", int(groups)));
    w.spatial(vertex, layout, "Conv", weights, attributes)
}

/// Height and width of filters.
fn kernel(filters: &Shape) -> [usize; 2] {
    [filters[0], filters[1]]
}

fn windowed(kernel: [usize; 2], window: &Window) -> Vec<Attribute> {
    vec![
        attribute("kernel_shape", ints(&kernel).as_slice()),
        attribute("strides", ints(&window.stride).as_slice()),
        attribute("pads", ints(&window.padding).as_slice()),
    ]
}

fn pooling(kernel: [usize; 2], window: &Window, ceil: bool) -> Vec<Attribute> {
    let mut attributes = windowed(kernel, window);
    attributes.push(attribute("ceil_mode", i64::from(ceil)));
    attributes
}

/// `dilations` came with operator set 19, which the model names where it is needed.
fn average(op: &AvgPool) -> Vec<Attribute> {
    let mut attributes = pooling(op.kernel, &op.window, op.ceil);
    attributes.push(attribute("count_include_pad", i64::from(op.count_include_pad)));
    if op.window.dilation != [1, 1] {
        attributes.push(attribute("dilations", ints(&op.window.dilation).as_slice()));
    }
    attributes
}

fn target(dims: &[Dim]) -> Vec<i64> {
    let extent = |dim: &Dim| match *dim {
        Dim::Fixed(extent) => int(extent),
        Dim::Copy => 0,
        Dim::Infer => -1,
    };
    dims.iter().map(extent).collect()
}

/// Extents and attributes are bounded when a vertex is added, so they all fit.
pub(super) fn int(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn ints(values: &[usize]) -> Vec<i64> {
    values.iter().copied().map(int).collect()
}

fn internal(vertex: &Vertex, reason: String) -> Error {
    Error::Internal { vertex: Some(vertex.name.clone()), reason }
}

fn refuse_fused(vertex: &Vertex, fused: bool) -> Result<()> {
    if fused { Err(internal(vertex, "models are written before fusion".into())) } else { Ok(()) }
}
