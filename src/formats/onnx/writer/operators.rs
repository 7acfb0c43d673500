//! Ops as ONNX operators.

use super::proto::{float, float_tensor, int, int_tensor, ints, signed, text};
use super::{Form, VERSIONS_DILATED_AVERAGE, VERSIONS_GELU, VERSIONS_MISH, VERSIONS_ROUNDED_UP, Writer, axis};
use crate::error::Result;
use crate::graph::{Vertex, VertexId};
use crate::ops::{Clamp, Dim, Function, L2Normalize, LayerNorm, Layout, Op, Pad, Slice, Window};
use crate::tensor::Shape;

/// The operator has no ε: it may be left out where only rows shorter than this are divided by it.
const NEGLIGIBLE: f32 = 1e-6;

type Attributes = Vec<super::onnx::Attribute>;

/// Attributes of a window, with those of Conv and the poolings alike.
fn window(window: &Window) -> Attributes {
    vec![ints("strides", &window.stride), ints("pads", &window.padding), ints("dilations", &window.dilation)]
}

impl Writer<'_> {
    /// Writes a vertex; `false` where there is no operator for it.
    pub(super) fn operator(&mut self, id: VertexId, vertex: &Vertex) -> Result<bool> {
        match &vertex.op {
            Op::Conv2d(op) if !op.residual && op.clamp.is_none() => {
                let mut attributes = window(&op.window);
                attributes.push(int("group", signed(&[op.groups])[0]));
                self.conv(id, vertex, attributes, Form::Filters, op.layout)?;
            }
            Op::DepthwiseConv2d(op) if op.clamp.is_none() => {
                let mut attributes = window(&op.window);
                attributes.push(int("group", signed(&vertex_channels(self, vertex))[0]));
                self.conv(id, vertex, attributes, Form::ChannelFilters, op.layout)?;
            }
            Op::Dense(op) if op.clamp.is_none() => self.plain("Gemm", id, vertex, vec![])?,
            Op::MatMul(op) if op.trans_a || op.trans_b => {
                let attributes = vec![int("transA", op.trans_a.into()), int("transB", op.trans_b.into())];
                self.plain("Gemm", id, vertex, attributes)?;
            }
            Op::MatMul(_) => self.plain("MatMul", id, vertex, vec![])?,
            Op::BatchNorm(op) if op.clamp.is_none() => {
                let layout = if self.rank(id) == 4 { op.layout } else { Layout::Nchw };
                let attributes = vec![float("epsilon", op.epsilon), float("momentum", op.momentum)];
                self.spatial("BatchNormalization", id, vertex, attributes, layout)?;
            }
            Op::LayerNorm(op) => self.layer_norm(id, vertex, op)?,
            Op::L2Normalize(op) if op.epsilon <= NEGLIGIBLE => self.l2_normalize(id, vertex, op)?,
            Op::Clip(op) => self.clip(id, vertex, op.clamp)?,
            Op::Sigmoid(_) => self.elementwise("Sigmoid", id, vertex, vec![])?,
            Op::Activate(op) => self.activate(id, vertex, op.function)?,
            Op::Dropout(op) => {
                let ratio = self.number(vertex, "ratio", op.rate);
                self.elementwise("Dropout", id, vertex, vec![ratio])?;
            }
            Op::Scale(op) => {
                let factor = self.number(vertex, "factor", op.factor);
                self.elementwise("Mul", id, vertex, vec![factor])?;
            }
            Op::Shift(op) => {
                let by = self.number(vertex, "by", op.by);
                self.elementwise("Add", id, vertex, vec![by])?;
            }
            Op::Maximum(_) => self.elementwise("Max", id, vertex, vec![])?,
            Op::Add(_) => self.elementwise("Add", id, vertex, vec![])?,
            Op::Multiply(_) => self.elementwise("Mul", id, vertex, vec![])?,
            Op::Concat(op) => self.plain("Concat", id, vertex, vec![axis(op.axis)])?,
            Op::Softmax(op) => self.plain("Softmax", id, vertex, vec![axis(op.axis)])?,
            Op::Flatten(op) => self.plain("Flatten", id, vertex, vec![axis(op.axis)])?,
            Op::Transpose(op) => self.plain("Transpose", id, vertex, vec![ints("perm", &op.perm)])?,
            Op::Reshape(op) => {
                let dims: Vec<i64> = op.dims.iter().map(|d| dim(*d)).collect();
                self.with_integers("Reshape", id, vertex, &[("shape", &dims)], vec![])?;
            }
            Op::Slice(op) => self.slice(id, vertex, op)?,
            Op::Pad(op) => self.pad(id, vertex, op)?,
            Op::MaxPool(op) => {
                let mut attributes = window(&op.window);
                attributes.extend(self.pooling(vertex, op.kernel, &op.window, op.ceil, op.layout));
                self.spatial("MaxPool", id, vertex, attributes, op.layout)?;
            }
            Op::AvgPool(op) => {
                let mut attributes = window(&op.window);
                if op.window.dilation == [1, 1] {
                    attributes.pop();
                } else {
                    self.versions = self.versions.max(VERSIONS_DILATED_AVERAGE);
                }
                attributes.extend(self.pooling(vertex, op.kernel, &op.window, op.ceil, op.layout));
                attributes.push(int("count_include_pad", op.count_include_pad.into()));
                self.spatial("AveragePool", id, vertex, attributes, op.layout)?;
            }
            Op::GlobalAvgPool(op) => self.spatial("GlobalAveragePool", id, vertex, vec![], op.layout)?,
            // Fused ops, gradients and updaters belong to plans; inputs and stored values are no nodes.
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What both poolings have, and the version that it takes.
    fn pooling(
        &mut self,
        vertex: &Vertex,
        kernel: [usize; 2],
        window: &Window,
        ceil: bool,
        layout: Layout,
    ) -> [super::onnx::Attribute; 2] {
        let sizes = |shape: &Shape| layout.sizes(shape).unwrap_or_default();
        let x = vertex.inputs.first().map(|x| sizes(&self.graph.get(*x).ty.shape)).unwrap_or_default();
        let y = sizes(&vertex.ty.shape);
        let all_windows = |axis: usize| {
            let reach = window.dilation[axis] * (kernel[axis] - 1) + 1;
            let room = (x[1 + axis] + window.padding[axis] + window.padding[axis + 2]).saturating_sub(reach);
            y[1 + axis] == room.div_ceil(window.stride[axis]) + 1
        };
        if ceil && !(all_windows(0) && all_windows(1)) {
            self.versions = self.versions.max(VERSIONS_ROUNDED_UP);
        }
        [ints("kernel_shape", &kernel), int("ceil_mode", ceil.into())]
    }

    /// A node that reads and makes values in the graph's layout.
    fn plain(&mut self, op: &str, id: VertexId, vertex: &Vertex, attributes: Attributes) -> Result<()> {
        self.spatial(op, id, vertex, attributes, Layout::Nchw)
    }

    /// A node whose first input and result are image batches of the layout.
    fn spatial(
        &mut self,
        op: &str,
        id: VertexId,
        vertex: &Vertex,
        attributes: Attributes,
        layout: Layout,
    ) -> Result<()> {
        let mut inputs = Vec::with_capacity(vertex.inputs.len());
        for (at, &input) in vertex.inputs.iter().enumerate() {
            inputs.push(if at == 0 { self.image(input, layout)? } else { self.value(input)? });
        }
        let (name, result) = (self.name(id), self.result(id, layout));
        self.node(op, &name, inputs, &result, attributes);
        Ok(())
    }

    fn conv(
        &mut self,
        id: VertexId,
        vertex: &Vertex,
        attributes: Attributes,
        form: Form,
        layout: Layout,
    ) -> Result<()> {
        let mut inputs = Vec::with_capacity(vertex.inputs.len());
        for (at, &input) in vertex.inputs.iter().enumerate() {
            inputs.push(match at {
                0 => self.image(input, layout)?,
                1 => self.weights(input, form)?,
                _ => self.value(input)?,
            });
        }
        let (name, result) = (self.name(id), self.result(id, layout));
        self.node("Conv", &name, inputs, &result, attributes);
        Ok(())
    }

    /// A node that works in either layout: in NCHW where all it reads is there already.
    fn elementwise(&mut self, op: &str, id: VertexId, vertex: &Vertex, more: Vec<String>) -> Result<()> {
        let (mut inputs, layout) = self.in_either_layout(vertex)?;
        inputs.extend(more);
        let (name, result) = (self.name(id), self.result(id, layout));
        self.node(op, &name, inputs, &result, vec![]);
        Ok(())
    }

    fn in_either_layout(&mut self, vertex: &Vertex) -> Result<(Vec<String>, Layout)> {
        let only_nchw = |input: &VertexId| self.nchw.contains_key(input) && !self.plain.contains_key(input);
        let layout = if vertex.inputs.iter().all(only_nchw) { Layout::Nhwc } else { Layout::Nchw };
        let inputs = vertex.inputs.iter().map(|input| self.image(*input, layout)).collect::<Result<_>>()?;
        Ok((inputs, layout))
    }

    fn activate(&mut self, id: VertexId, vertex: &Vertex, function: Function) -> Result<()> {
        let (op, attributes, versions) = match function {
            Function::LeakyRelu { alpha } => ("LeakyRelu", vec![float("alpha", alpha)], None),
            Function::Elu { alpha } => ("Elu", vec![float("alpha", alpha)], None),
            Function::Selu => ("Selu", vec![], None),
            Function::Gelu => ("Gelu", vec![], Some(VERSIONS_GELU)),
            Function::GeluTanh => ("Gelu", vec![text("approximate", "tanh")], Some(VERSIONS_GELU)),
            Function::Tanh => ("Tanh", vec![], None),
            Function::Softplus => ("Softplus", vec![], None),
            Function::Softsign => ("Softsign", vec![], None),
            Function::HardSigmoid { alpha, beta } => {
                ("HardSigmoid", vec![float("alpha", alpha), float("beta", beta)], None)
            }
            Function::HardSwish => ("HardSwish", vec![], None),
            Function::Mish => ("Mish", vec![], Some(VERSIONS_MISH)),
            Function::Erf => ("Erf", vec![], None),
            Function::Reciprocal => ("Reciprocal", vec![], None),
            Function::Swish => ("Sigmoid", vec![], None),
        };
        self.versions = self.versions.max(versions.unwrap_or_default());
        let (inputs, layout) = self.in_either_layout(vertex)?;
        let name = self.name(id);
        if function == Function::Swish {
            // Runtimes do not have its operator (set 24) yet.
            let sigmoid = self.free(id, "sigmoid");
            self.node(op, &sigmoid, inputs.clone(), &sigmoid, attributes);
            let result = self.result(id, layout);
            self.node("Mul", &name, [inputs, vec![sigmoid]].concat(), &result, vec![]);
            return Ok(());
        }
        let result = self.result(id, layout);
        self.node(op, &name, inputs, &result, attributes);
        Ok(())
    }

    /// A stored number of one vertex.
    fn number(&mut self, vertex: &Vertex, part: &str, value: f32) -> String {
        self.initializer(float_tensor(format!("{}:{part}", vertex.name), &[], &[value]))
    }

    fn clip(&mut self, id: VertexId, vertex: &Vertex, clamp: Clamp) -> Result<()> {
        if clamp == Clamp::RELU {
            return self.elementwise("Relu", id, vertex, vec![]);
        }
        let mut bounds = Vec::new();
        for (part, bound) in [("min", clamp.min), ("max", clamp.max)] {
            bounds.push(bound.map(|bound| self.number(vertex, part, bound)).unwrap_or_default());
        }
        while bounds.last().is_some_and(String::is_empty) {
            bounds.pop();
        }
        self.elementwise("Clip", id, vertex, bounds)
    }

    /// Features of NCHW are brought to the end and back: the operator takes trailing dimensions.
    fn layer_norm(&mut self, id: VertexId, vertex: &Vertex, op: &LayerNorm) -> Result<()> {
        let attributes = vec![int("axis", -1), float("epsilon", op.epsilon)];
        if self.rank(id) != 4 || op.layout == Layout::Nhwc {
            return self.plain("LayerNormalization", id, vertex, attributes);
        }
        let mut inputs = vertex.inputs.iter().map(|i| self.value(*i)).collect::<Result<Vec<_>>>()?;
        let (turned, normalized) = (self.free(id, "nhwc"), self.free(id, "normalized"));
        let x = std::mem::replace(&mut inputs[0], turned.clone());
        self.node("Transpose", &turned, vec![x], &turned, vec![ints("perm", &[0, 2, 3, 1])]);
        self.node("LayerNormalization", &normalized, inputs, &normalized, attributes);
        let (name, result) = (self.name(id), self.result(id, Layout::Nchw));
        self.node("Transpose", &name, vec![normalized], &result, vec![ints("perm", &[0, 3, 1, 2])]);
        Ok(())
    }

    /// The operator takes one dimension; several are flattened before it and restored behind it.
    fn l2_normalize(&mut self, id: VertexId, vertex: &Vertex, op: &L2Normalize) -> Result<()> {
        let attributes = |axis: i64| vec![int("axis", axis), int("p", 2)];
        let shape = &vertex.ty.shape;
        if op.axis + 1 == shape.rank() {
            return self.plain("LpNormalization", id, vertex, attributes(-1));
        }
        let (flat, normalized) = (self.free(id, "flat"), self.free(id, "normalized"));
        let x = self.value(vertex.inputs[0])?;
        self.node("Flatten", &flat, vec![x], &flat, vec![axis(op.axis)]);
        self.node("LpNormalization", &normalized, vec![flat], &normalized, attributes(1));
        // The batch is what is left, where it is no part of a row.
        let mut dims = signed(shape);
        if op.axis > 0 {
            dims[0] = -1;
        }
        let dims = self.initializer(int_tensor(format!("{}:shape", vertex.name), &dims));
        let (name, result) = (self.name(id), self.result(id, Layout::Nchw));
        self.node("Reshape", &name, vec![normalized, dims], &result, vec![]);
        Ok(())
    }

    fn with_integers(
        &mut self,
        op: &str,
        id: VertexId,
        vertex: &Vertex,
        operands: &[(&str, &[i64])],
        more: Vec<String>,
    ) -> Result<()> {
        let mut inputs = vec![self.value(vertex.inputs[0])?];
        for (part, values) in operands {
            inputs.push(self.initializer(int_tensor(format!("{}:{part}", vertex.name), values)));
        }
        inputs.extend(more);
        let (name, result) = (self.name(id), self.result(id, Layout::Nchw));
        self.node(op, &name, inputs, &result, vec![]);
        Ok(())
    }

    fn slice(&mut self, id: VertexId, vertex: &Vertex, op: &Slice) -> Result<()> {
        let [start, end, axis] = [op.start, op.start + op.len, op.axis].map(|v| signed(&[v]));
        self.with_integers("Slice", id, vertex, &[("starts", &start), ("ends", &end), ("axes", &axis)], vec![])
    }

    fn pad(&mut self, id: VertexId, vertex: &Vertex, op: &Pad) -> Result<()> {
        let pads: Vec<i64> = signed(&op.before).into_iter().chain(signed(&op.after)).collect();
        let value = self.number(vertex, "value", op.value);
        self.with_integers("Pad", id, vertex, &[("pads", &pads)], vec![value])
    }
}

/// ONNX's 0 copies a dimension, its −1 takes what is left.
fn dim(dim: Dim) -> i64 {
    match dim {
        Dim::Fixed(extent) => i64::try_from(extent).unwrap_or(i64::MAX),
        Dim::Copy => 0,
        Dim::Infer => -1,
    }
}

/// Channels of a depthwise convolution.
fn vertex_channels(writer: &Writer<'_>, vertex: &Vertex) -> [usize; 1] {
    [vertex.inputs.get(1).and_then(|w| writer.graph.get(*w).ty.shape.last().copied()).unwrap_or(1)]
}
