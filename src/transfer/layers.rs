//! Layers of the builder, expanded into vertices. The last vertex carries the layer's name, the others are inner parts.

use super::config::{Activation, DenseLayer, FineTuneConfiguration, Layer};
use crate::error::{Error, Result};
use crate::graph::{Graph, Loss, VertexId};
use crate::ops::{Clamp, Clip, Concat, Dense, Dropout, Flatten, Op, Role, Sigmoid, Softmax};

/// Appends a layer. `defaults` fill what the layer does not say.
pub(super) fn add_layer(
    g: &mut Graph,
    name: &str,
    layer: &Layer,
    inputs: &[VertexId],
    defaults: &FineTuneConfiguration,
) -> Result<VertexId> {
    let mut builder = Builder { g, name, defaults };
    match layer {
        Layer::Dense(dense) if dense.loss.is_some() => {
            Err(Error::option("loss", format!("'{name}' is a dense layer; only an output layer has a loss")))
        }
        Layer::Dense(dense) => builder.dense(dense, inputs, None),
        Layer::Output(dense) => {
            let loss = dense.loss.ok_or_else(|| Error::option("loss", format!("output layer '{name}' needs one")))?;
            builder.dense(dense, inputs, Some(loss))
        }
        Layer::Activation { activation } => {
            let x = builder.merged(inputs, false)?;
            let op = activation_op(*activation, builder.g.get(x).ty.shape.rank());
            let op =
                op.ok_or_else(|| Error::option("activation", "an activation layer needs one that is not identity"))?;
            builder.g.add(name, op, &[x])
        }
        Layer::Dropout { dropout } => {
            let rate = checked_rate(*dropout)?;
            let x = builder.merged(inputs, false)?;
            builder.g.add(name, Dropout { rate }, &[x])
        }
    }
}

fn checked_rate(rate: f32) -> Result<f32> {
    if (0.0..1.0).contains(&rate) {
        return Ok(rate);
    }
    Err(Error::option("dropout", format!("a probability in [0, 1), not {rate}")))
}

/// `None` for identity.
fn activation_op(activation: Activation, rank: usize) -> Option<Op> {
    Some(match activation {
        Activation::Identity => return None,
        Activation::Relu => Clip { clamp: Clamp::RELU }.into(),
        Activation::Relu6 => Clip { clamp: Clamp::RELU6 }.into(),
        Activation::Sigmoid => Sigmoid {}.into(),
        Activation::Softmax => Softmax { axis: rank.saturating_sub(1) }.into(),
    })
}

struct Builder<'a> {
    g: &'a mut Graph,
    name: &'a str,
    defaults: &'a FineTuneConfiguration,
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

    fn dense(&mut self, layer: &DenseLayer, inputs: &[VertexId], loss: Option<Loss>) -> Result<VertexId> {
        let mut x = self.merged(inputs, true)?;
        let (n_in, n_out) = (self.g.get(x).ty.shape[1], layer.n_out);
        if n_out == 0 {
            return Err(Error::option("nOut", format!("layer '{}' needs at least 1", self.name)));
        }
        if let Some(given) = layer.n_in.filter(|given| *given != n_in) {
            return Err(Error::Shape {
                vertex: self.name.to_owned(),
                op: "dense",
                reason: format!("nIn is {given}, the input has {n_in} features"),
                inputs: vec![self.g.get(x).ty.shape.clone()],
            });
        }
        if let Some(rate) = layer.dropout.filter(|rate| *rate != 0.0) {
            x = self.part("dropout", Dropout { rate: checked_rate(rate)? }, &[x])?;
        }
        let seed = self.defaults.seed.unwrap_or_default();
        let init = layer.weight_init.or(self.defaults.weight_init).unwrap_or_default();
        let weight = format!("{}.weight", self.name);
        let values = init.draw([n_in, n_out], [n_in, n_out], seed, &weight);
        let mut operands = vec![x, self.g.parameter(self.g.free_name(&weight), Role::Weight, values)?];
        let bias = layer.has_bias.unwrap_or(true);
        if bias {
            let value = layer.bias_init.or(self.defaults.bias_init).unwrap_or_default();
            let values = crate::tensor::Tensor::f32([n_out], vec![value; n_out])?;
            operands.push(self.g.parameter(self.g.free_name(&format!("{}.bias", self.name)), Role::Bias, values)?);
        }
        let fallback = if loss.is_some() { Some(Activation::Softmax) } else { self.defaults.activation };
        let activation = layer.activation.or(fallback).unwrap_or(Activation::Identity);
        check_loss(loss, activation, n_out, self.name)?;
        let dense = Dense { bias, clamp: None };
        let y = match activation_op(activation, 2) {
            Some(op) => {
                let y = self.part("dense", dense, &operands)?;
                self.g.add(self.name, op, &[y])?
            }
            None => self.g.add(self.name, dense, &operands)?,
        };
        self.g.get_mut(y).loss = loss;
        Ok(y)
    }
}

fn check_loss(loss: Option<Loss>, activation: Activation, n_out: usize, name: &str) -> Result<()> {
    match loss {
        None => Ok(()),
        Some(Loss::NegativeLogLikelihood) if activation != Activation::Softmax => {
            Err(Error::conflict(name, "negativeloglikelihood needs the activation softmax"))
        }
        Some(Loss::NegativeLogLikelihood) if n_out == 1 => {
            Err(Error::conflict(name, "a softmax of one class is always 1; use at least two"))
        }
        Some(Loss::NegativeLogLikelihood) => Ok(()),
    }
}
