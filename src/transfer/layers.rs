//! Layers of the builder, expanded into vertices. The last vertex carries the layer's name, the others are inner parts.

use super::config::{Activation, Layer, LayerKind, VertexKind};
use crate::error::{Error, Result};
use crate::graph::{Graph, OutputLoss, VertexId};
use crate::ops::{Clamp, Clip, Concat, Dense, Dropout, Flatten, Op, Role, Sigmoid, Softmax};
use crate::train::check_loss;

/// Appends a layer. `layer.learning` is complete: the caller put it over its defaults.
pub(super) fn add_layer(g: &mut Graph, name: &str, layer: &Layer, inputs: &[VertexId], seed: u64) -> Result<VertexId> {
    let mut builder = Builder { g, name, layer, seed };
    match &layer.kind {
        LayerKind::Dense { n_out, has_bias } => builder.dense(*n_out, *has_bias, inputs, None),
        LayerKind::Output { n_out, loss, loss_weights, has_bias } => {
            let loss = OutputLoss { function: *loss, weights: loss_weights.clone() };
            builder.dense(*n_out, *has_bias, inputs, Some(loss))
        }
        LayerKind::Activation {} => {
            let x = builder.merged(inputs, false)?;
            let activation = layer.learning.activation.unwrap_or(Activation::Identity);
            let op = activation_op(activation, builder.g.get(x).ty.shape.rank());
            let op =
                op.ok_or_else(|| Error::option("activation", "an activation layer needs one that is not identity"))?;
            builder.g.add(name, op, &[x])
        }
        LayerKind::Dropout {} => {
            let rate =
                *layer.learning.dropout.get().ok_or_else(|| Error::option("dropout", "a dropout layer needs one"))?;
            let x = builder.merged(inputs, false)?;
            builder.g.add(name, Dropout { rate }, &[x])
        }
        other => Err(Error::option("layer", format!("'{name}': {other:?} is not supported yet"))),
    }
}

/// Appends a vertex without parameters.
pub(super) fn add_vertex(_: &mut Graph, name: &str, kind: &VertexKind, _: &[VertexId]) -> Result<VertexId> {
    Err(Error::option("vertex", format!("'{name}': {kind:?} is not supported yet")))
}

/// `None` for identity.
fn activation_op(activation: Activation, rank: usize) -> Option<Op> {
    Some(match activation {
        Activation::Identity => return None,
        Activation::Relu => Clip { clamp: Clamp::RELU }.into(),
        Activation::Relu6 => Clip { clamp: Clamp::RELU6 }.into(),
        Activation::Sigmoid => Sigmoid {}.into(),
        Activation::Softmax => Softmax { axis: rank.saturating_sub(1) }.into(),
        _ => return None,
    })
}

struct Builder<'a> {
    g: &'a mut Graph,
    name: &'a str,
    layer: &'a Layer,
    seed: u64,
}

impl Builder<'_> {
    /// An inner part of the layer.
    fn part(&mut self, part: &str, op: impl Into<Op>, inputs: &[VertexId]) -> Result<VertexId> {
        let name = self.g.free_name(&format!("{}/{part}", self.name));
        let id = self.g.add(name, op, inputs)?;
        self.g.get_mut(id).layer = Some(self.name.to_owned());
        Ok(id)
    }

    /// One value out of all inputs: flattened if asked for, concatenated along the features.
    fn merged(&mut self, inputs: &[VertexId], flat: bool) -> Result<VertexId> {
        let mut values = Vec::with_capacity(inputs.len());
        for &input in inputs {
            let rank = self.g.get(input).ty.shape.rank();
            values.push(if flat && rank != 2 { self.part("flatten", Flatten { axis: 1 }, &[input])? } else { input });
        }
        match values.as_slice() {
            [] => Err(Error::conflict(self.name, "a layer needs an input")),
            [single] => Ok(*single),
            many => self.part("merge", Concat { axis: 1 }, many),
        }
    }

    fn dense(&mut self, n_out: usize, bias: bool, inputs: &[VertexId], loss: Option<OutputLoss>) -> Result<VertexId> {
        let x = self.merged(inputs, true)?;
        let n_in = self.g.get(x).ty.shape[1];
        if n_out == 0 {
            return Err(Error::option("nOut", format!("layer '{}' needs at least 1", self.name)));
        }
        if let Some(given) = self.layer.n_in.filter(|given| *given != n_in) {
            return Err(Error::Shape {
                vertex: self.name.to_owned(),
                op: "dense",
                reason: format!("nIn is {given}, the input has {n_in} features"),
                inputs: vec![self.g.get(x).ty.shape.clone()],
            });
        }
        let learning = &self.layer.learning;
        let init = learning.weight_init.unwrap_or_default();
        let weight = format!("{}.weight", self.name);
        let values = init.draw([n_in, n_out], [n_in, n_out], self.seed, &weight);
        let mut operands = vec![x, self.g.parameter(self.g.free_name(&weight), Role::Weight, values)?];
        if bias {
            let value = learning.bias_init.unwrap_or_default();
            let values = crate::tensor::Tensor::f32([n_out], vec![value; n_out])?;
            operands.push(self.g.parameter(self.g.free_name(&format!("{}.bias", self.name)), Role::Bias, values)?);
        }
        let fallback = if loss.is_some() { Activation::Softmax } else { Activation::Identity };
        let activation = learning.activation.unwrap_or(fallback);
        let dense = Dense { bias, clamp: None };
        let y = match activation_op(activation, 2) {
            Some(op) => {
                let y = self.part("dense", dense, &operands)?;
                self.g.add(self.name, op, &[y])?
            }
            None => self.g.add(self.name, dense, &operands)?,
        };
        if let Some(loss) = &loss {
            check_loss(loss, &self.g.get(y).op, n_out, self.name)?;
        }
        self.g.get_mut(y).loss = loss;
        Ok(y)
    }
}
