//! Layers of the builder, expanded into vertices. The last vertex carries the layer's name, the others are inner parts.

use super::activation::activation_op;
use super::config::Activation;
use super::layer_config::{Depthwise, Layer, LayerKind, NamedPadding, Padding, Pair, Pool, Pooling};
use super::layout::{feature_axis, layout_of};
use super::parts::Parts;
use super::refit::drawn;
use crate::error::{Error, Result};
use crate::graph::{Graph, OutputLoss, VertexId};
use crate::ops::{
    AvgPool, BatchNorm, Concat, Conv2d, Dense, DepthwiseConv2d, Dropout, Flatten, GlobalAvgPool, LayerNorm, Layout,
    MaxPool, Op, Role, Scale, Window,
};
use crate::tensor::Shape;
use crate::train::check_loss;

/// Appends a layer. `layer.learning` is complete: the caller put it over its defaults.
///
/// # Errors
/// `shape` where the input does not fit, `conflict` without inputs, `bad-option`.
pub(super) fn add_layer(g: &mut Graph, name: &str, layer: &Layer, inputs: &[VertexId], seed: u64) -> Result<VertexId> {
    let mut builder = Builder { parts: Parts { g, name }, layer, seed };
    match &layer.kind {
        LayerKind::Dense { n_out, has_bias } => builder.dense(*n_out, *has_bias, inputs, None),
        LayerKind::Output { n_out, loss, loss_weights, has_bias } => {
            let loss = OutputLoss { function: *loss, weights: loss_weights.clone() };
            builder.dense(*n_out, *has_bias, inputs, Some(loss))
        }
        kind => {
            let x = builder.merged(inputs, false)?;
            builder.of_one(kind, x)
        }
    }
}

/// An activation of its own on a layer that has none would be lost without a word; one of the configuration is not meant for it.
///
/// # Errors
/// `bad-option`.
pub(super) fn check_own_settings(name: &str, layer: &Layer) -> Result<()> {
    let applies = matches!(
        layer.kind,
        LayerKind::Dense { .. }
            | LayerKind::Output { .. }
            | LayerKind::Conv2d { .. }
            | LayerKind::DepthwiseConv2d(_)
            | LayerKind::SeparableConv2d(_)
            | LayerKind::Activation {}
    );
    match layer.learning.activation {
        None | Some(Activation::Identity) => Ok(()),
        Some(_) if applies => Ok(()),
        Some(_) => {
            let reason = format!("layer '{name}' has none; add an activation layer that reads it");
            Err(Error::option("activation", reason))
        }
    }
}

/// Larger sizes are no real layer; the bound keeps products far from overflow.
const MAX_SIZE: usize = 1 << 20;
/// Most elements of a weight, as of any value.
const MAX_ELEMENTS: usize = 1 << 30;

struct Builder<'a> {
    parts: Parts<'a>,
    layer: &'a Layer,
    seed: u64,
}

/// A convolution, before its weights are there.
struct Filters {
    n_out: usize,
    window: Window,
    kernel: [usize; 2],
    groups: usize,
    bias: bool,
    layout: Layout,
}

impl Builder<'_> {
    fn of_one(&mut self, kind: &LayerKind, x: VertexId) -> Result<VertexId> {
        match kind {
            LayerKind::Conv2d { n_out, kernel_size, stride, padding, dilation, groups, has_bias } => {
                let layout = self.image("conv2d", x)?;
                let (kernel, window) = self.window(x, layout, *kernel_size, *stride, *padding, *dilation)?;
                self.sized(&[("nOut", *n_out), ("groups", *groups)])?;
                let filters = Filters { n_out: *n_out, window, kernel, groups: *groups, bias: *has_bias, layout };
                let (op, operands) = self.conv("", x, &filters)?;
                self.activated("conv", op, &operands)
            }
            LayerKind::DepthwiseConv2d(layer) => self.depthwise_layer(layer, x),
            LayerKind::SeparableConv2d(layer) => self.separable(layer, x),
            LayerKind::BatchNorm { epsilon, momentum } => {
                check("epsilon", *epsilon, (0.0..f32::INFINITY).contains(epsilon))?;
                check("momentum", *momentum, (0.0..=1.0).contains(momentum))?;
                let layout = layout_of(self.parts.g, x);
                let roles = [Role::Gamma, Role::Beta, Role::Mean, Role::Variance];
                let operands = self.per_channel(x, &["gamma", "beta", "mean", "variance"], &roles)?;
                self.parts.last(BatchNorm { epsilon: *epsilon, momentum: *momentum, layout, clamp: None }, &operands)
            }
            LayerKind::LayerNorm { epsilon } => {
                check("epsilon", *epsilon, *epsilon > 0.0 && epsilon.is_finite())?;
                let layout = layout_of(self.parts.g, x);
                let operands = self.per_channel(x, &["gamma", "beta"], &[Role::Gamma, Role::Beta])?;
                self.parts.last(LayerNorm { epsilon: *epsilon, layout }, &operands)
            }
            LayerKind::Activation {} => {
                let activation = self.layer.learning.activation.unwrap_or(Activation::Identity);
                let op = activation_op(activation, self.softmax_axis(x));
                self.parts.last(op.unwrap_or_else(|| Scale { factor: 1.0 }.into()), &[x])
            }
            LayerKind::Dropout {} => {
                let rate = self.layer.learning.dropout.get();
                let rate = *rate.ok_or_else(|| Error::option("dropout", "a dropout layer needs one"))?;
                self.parts.last(Dropout { rate }, &[x])
            }
            LayerKind::MaxPool(pool) => {
                let layout = self.image("max_pool", x)?;
                let (kernel, window) = self.pool_window(x, layout, pool)?;
                self.parts.last(MaxPool { kernel, window, ceil: false, layout }, &[x])
            }
            LayerKind::AvgPool(pool) => {
                let layout = self.image("avg_pool", x)?;
                let (kernel, window) = self.pool_window(x, layout, pool)?;
                self.parts.last(AvgPool { kernel, window, ceil: false, count_include_pad: false, layout }, &[x])
            }
            LayerKind::GlobalPool { pooling } => {
                let layout = self.image("global_pool", x)?;
                let [_, h, w, _] = self.sizes(x, layout);
                let op: Op = match pooling {
                    Pooling::Avg => GlobalAvgPool { layout }.into(),
                    Pooling::Max => MaxPool { kernel: [h, w], window: Window::default(), ceil: false, layout }.into(),
                };
                let pooled = self.parts.part("pool", op, &[x])?;
                self.parts.last(Flatten { axis: 1 }, &[pooled])
            }
            LayerKind::Flatten {} => self.parts.last(Flatten { axis: 1 }, &[x]),
            LayerKind::Dense { .. } | LayerKind::Output { .. } => Err(Error::internal("a dense layer takes rows")),
        }
    }

    /// One value out of all inputs: flattened if asked for, concatenated along the features.
    fn merged(&mut self, inputs: &[VertexId], flat: bool) -> Result<VertexId> {
        let mut values = Vec::with_capacity(inputs.len());
        for &input in inputs {
            let rank = self.parts.g.get(input).ty.shape.rank();
            let flatten = flat && rank != 2;
            values.push(if flatten { self.parts.part("flatten", Flatten { axis: 1 }, &[input])? } else { input });
        }
        match values.as_slice() {
            [] => Err(self.parts.takes("at least one input", inputs)),
            [single] => Ok(*single),
            [first, ..] => {
                let axis = feature_axis(self.parts.g, *first);
                self.parts.part("merge", Concat { axis }, &values)
            }
        }
    }

    /// Layout of an input that has to be an image batch.
    fn image(&self, op: &'static str, x: VertexId) -> Result<Layout> {
        if self.parts.g.get(x).ty.shape.rank() == 4 {
            return Ok(layout_of(self.parts.g, x));
        }
        Err(self.parts.mismatch(op, "it takes an image batch of 4 dimensions", x))
    }

    /// Batch, height, width and channels of an image batch.
    fn sizes(&self, x: VertexId, layout: Layout) -> [usize; 4] {
        layout.sizes(&self.parts.g.get(x).ty.shape).unwrap_or_default()
    }

    /// Along the channels of an image, else the last dimension.
    fn softmax_axis(&self, x: VertexId) -> usize {
        match self.parts.g.get(x).ty.shape.rank() {
            4 => feature_axis(self.parts.g, x),
            rank => rank.saturating_sub(1),
        }
    }

    fn sized(&self, sizes: &[(&'static str, usize)]) -> Result<()> {
        let name = self.parts.name;
        let wrong = |(_, size): &&(&str, usize)| !(1..=MAX_SIZE).contains(size);
        match sizes.iter().find(wrong) {
            Some((option, size)) => Err(Error::option(option, format!("layer '{name}': 1 to {MAX_SIZE}, not {size}"))),
            None => Ok(()),
        }
    }

    fn check_n_in(&self, op: &'static str, found: usize, x: VertexId) -> Result<()> {
        match self.layer.n_in {
            Some(given) if given != found => {
                Err(self.parts.mismatch(op, format!("nIn is {given}, the input has {found}"), x))
            }
            _ => Ok(()),
        }
    }

    fn window(
        &self,
        x: VertexId,
        layout: Layout,
        kernel: Pair,
        stride: Pair,
        padding: Padding,
        dilation: Pair,
    ) -> Result<([usize; 2], Window)> {
        let [kernel, stride, dilation] = [kernel, stride, dilation].map(Pair::sizes);
        for (option, [rows, cols]) in [("kernelSize", kernel), ("stride", stride), ("dilation", dilation)] {
            self.sized(&[(option, rows), (option, cols)])?;
        }
        let [_, h, w, _] = self.sizes(x, layout);
        let padding = match padding {
            Padding::Named(NamedPadding::Same) => Window::same([h, w], kernel, stride, dilation),
            Padding::Named(NamedPadding::Valid) => [0; 4],
            Padding::All(cells) => [cells; 4],
            Padding::Each(cells) => cells,
        };
        Ok((kernel, Window { stride, padding, dilation }))
    }

    fn pool_window(&self, x: VertexId, layout: Layout, pool: &Pool) -> Result<([usize; 2], Window)> {
        let stride = pool.stride.unwrap_or(pool.kernel_size);
        self.window(x, layout, pool.kernel_size, stride, pool.padding, Pair::default())
    }

    /// A new parameter, by its name behind that of the layer.
    fn parameter(&mut self, suffix: &str, role: Role, shape: impl Into<Shape>) -> Result<VertexId> {
        let (shape, learning) = (shape.into(), &self.layer.learning);
        if shape.checked_len().is_none_or(|len| len > MAX_ELEMENTS) {
            let reason = format!("layer '{}': its {suffix} of {shape} is too large", self.parts.name);
            return Err(Error::option("nOut", reason));
        }
        let name = format!("{}.{suffix}", self.parts.name);
        let (init, biases) = (learning.weight_init.unwrap_or_default(), learning.bias_init.unwrap_or_default());
        let value = drawn(&name, role, &shape, init, biases, self.seed);
        self.parts.g.parameter(self.parts.g.free_name(&name), role, value)
    }

    /// The input and a parameter of one element a channel for each role.
    fn per_channel(&mut self, x: VertexId, suffixes: &[&str], roles: &[Role]) -> Result<Vec<VertexId>> {
        let shape = &self.parts.g.get(x).ty.shape;
        if shape.rank() < 2 {
            return Err(self.parts.mismatch("normalization", "it takes a batch with features", x));
        }
        let channels = shape[self.softmax_axis(x)];
        self.check_n_in("normalization", channels, x)?;
        let mut operands = vec![x];
        for (suffix, role) in suffixes.iter().zip(roles) {
            operands.push(self.parameter(suffix, *role, [channels])?);
        }
        Ok(operands)
    }

    /// A convolution with its weights; their names start with `prefix`.
    fn conv(&mut self, prefix: &str, x: VertexId, filters: &Filters) -> Result<(Op, Vec<VertexId>)> {
        let Filters { n_out, kernel: [kh, kw], groups, bias, layout, ref window } = *filters;
        let [.., c] = self.sizes(x, layout);
        self.check_n_in("conv2d", c, x)?;
        if !c.is_multiple_of(groups) || !n_out.is_multiple_of(groups) {
            let reason = format!("{groups} groups do not divide {c} channels into {n_out}");
            return Err(self.parts.mismatch("conv2d", reason, x));
        }
        let weight = self.parameter(&format!("{prefix}weight"), Role::Weight, [kh, kw, c / groups, n_out])?;
        let mut operands = vec![x, weight];
        if bias {
            operands.push(self.parameter("bias", Role::Bias, [n_out])?);
        }
        let op = Conv2d { window: window.clone(), groups, bias, residual: false, clamp: None, layout };
        Ok((op.into(), operands))
    }

    /// One filter a channel, or `depth_multiplier` of them; `n_out` is the number of all.
    fn depthwise(&mut self, prefix: &str, layer: &Depthwise, bias: bool, x: VertexId) -> Result<(Op, Vec<VertexId>)> {
        let layout = self.image("depthwise_conv2d", x)?;
        let Depthwise { kernel_size, stride, padding, dilation, depth_multiplier, .. } = *layer;
        let (kernel, window) = self.window(x, layout, kernel_size, stride, padding, dilation)?;
        self.sized(&[("depthMultiplier", depth_multiplier)])?;
        let [.., c] = self.sizes(x, layout);
        self.check_n_in("depthwise_conv2d", c, x)?;
        if depth_multiplier > 1 {
            let n_out = c * depth_multiplier;
            return self.conv(prefix, x, &Filters { n_out, window, kernel, groups: c, bias, layout });
        }
        let weight = self.parameter(&format!("{prefix}weight"), Role::Weight, [kernel[0], kernel[1], c])?;
        let mut operands = vec![x, weight];
        if bias {
            operands.push(self.parameter("bias", Role::Bias, [c])?);
        }
        Ok((DepthwiseConv2d { window, bias, clamp: None, layout }.into(), operands))
    }

    fn depthwise_layer(&mut self, layer: &Depthwise, x: VertexId) -> Result<VertexId> {
        let (op, operands) = self.depthwise("", layer, layer.has_bias, x)?;
        let [.., c] = self.sizes(x, layout_of(self.parts.g, x));
        let results = c * layer.depth_multiplier;
        if let Some(n_out) = layer.n_out.filter(|n| *n != results) {
            let reason = format!("nOut is {n_out}; a depthwise convolution of {c} channels has {results} results");
            return Err(self.parts.mismatch("depthwise_conv2d", reason, x));
        }
        self.activated("conv", op, &operands)
    }

    fn separable(&mut self, layer: &Depthwise, x: VertexId) -> Result<VertexId> {
        let n_out = layer.n_out;
        let n_out = n_out.ok_or_else(|| Error::option("nOut", format!("layer '{}' needs one", self.parts.name)))?;
        self.sized(&[("nOut", n_out)])?;
        let (op, operands) = self.depthwise("depthwise_", layer, false, x)?;
        let depthwise = self.parts.part("depthwise", op, &operands)?;
        let (layout, window) = (layout_of(self.parts.g, x), Window::default());
        let filters = Filters { n_out, window, kernel: [1, 1], groups: 1, bias: layer.has_bias, layout };
        // `nIn` is about the layer's input, which has been checked.
        let (op, operands) = Builder {
            parts: Parts { g: self.parts.g, name: self.parts.name },
            layer: &Layer { n_in: None, ..self.layer.clone() },
            seed: self.seed,
        }
        .conv("pointwise_", depthwise, &filters)?;
        self.activated("pointwise", op, &operands)
    }

    /// The layer's op and its activation; the last of both carries the name.
    fn activated(&mut self, part: &str, op: Op, operands: &[VertexId]) -> Result<VertexId> {
        let activation = self.layer.learning.activation.unwrap_or(Activation::Identity);
        let axis = self.softmax_axis(operands[0]);
        match activation_op(activation, axis) {
            Some(activation) => {
                let y = self.parts.part(part, op, operands)?;
                self.parts.last(activation, &[y])
            }
            None => self.parts.last(op, operands),
        }
    }

    fn dense(&mut self, n_out: usize, bias: bool, inputs: &[VertexId], loss: Option<OutputLoss>) -> Result<VertexId> {
        let x = self.merged(inputs, true)?;
        let n_in = self.parts.g.get(x).ty.shape[1];
        self.sized(&[("nOut", n_out)])?;
        self.check_n_in("dense", n_in, x)?;
        let mut operands = vec![x, self.parameter("weight", Role::Weight, [n_in, n_out])?];
        if bias {
            operands.push(self.parameter("bias", Role::Bias, [n_out])?);
        }
        let fallback = if loss.is_some() { Activation::Softmax } else { Activation::Identity };
        let activation = self.layer.learning.activation.unwrap_or(fallback);
        let dense = Dense { bias, clamp: None };
        let y = match activation_op(activation, 1) {
            Some(op) => {
                let y = self.parts.part("dense", dense, &operands)?;
                self.parts.last(op, &[y])?
            }
            None => self.parts.last(dense, &operands)?,
        };
        if let Some(loss) = &loss {
            check_loss(loss, &self.parts.g.get(y).op, n_out, self.parts.name)?;
        }
        self.parts.g.get_mut(y).loss = loss;
        Ok(y)
    }
}

fn check(option: &'static str, value: f32, fits: bool) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::option(option, format!("{value} lies outside its range"))) }
}
