use std::collections::HashMap;

use super::Weights;
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};
use crate::transfer::WeightInit;

/// Most classes a drawn classifier may have: three times ImageNet-21k, and VGG's last layer stays at 1 GiB.
const MAX_CLASSES: usize = 1 << 16;

/// Tensors an error lists.
const MAX_LISTED: usize = 8;

/// Hands out parameters in the engine's form and keeps account of what a checkpoint still holds.
#[derive(Debug)]
pub(super) struct Values {
    architecture: &'static str,
    from: Origin,
}

#[derive(Debug)]
enum Origin {
    State(HashMap<String, Tensor>),
    Random {
        seed: u64,
        classes: usize,
    },
    /// For tests of shapes: untouched zeros take no memory.
    #[cfg(test)]
    Zeros {
        classes: usize,
    },
}

/// Order of the dimensions of a convolution's filters in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FilterOrder {
    /// Output channels, input channels, height, width: PyTorch.
    Oihw,
    /// Height, width, input channels, output channels: TensorFlow, and the engine.
    Hwio,
}

impl Values {
    pub(super) fn new(architecture: &'static str, weights: Weights) -> Result<Self> {
        let from = match weights {
            Weights::State(state) => Origin::State(state.into_iter().collect()),
            Weights::Random { classes, .. } if !(2..=MAX_CLASSES).contains(&classes) => {
                return Err(Error::option("classes", format!("2 to {MAX_CLASSES}, not {classes}")));
            }
            Weights::Random { seed, classes } => Origin::Random { seed, classes },
        };
        Ok(Self { architecture, from })
    }

    #[cfg(test)]
    pub(super) fn zeros(architecture: &'static str, classes: usize) -> Self {
        Self { architecture, from: Origin::Zeros { classes } }
    }

    /// Whether the checkpoint has this tensor.
    pub(super) fn has(&self, tensor: &str) -> bool {
        matches!(&self.from, Origin::State(state) if state.contains_key(tensor))
    }

    /// Number of classes: the extent of dimension `axis` of the classifier's weight.
    pub(super) fn classes(&self, tensor: &str, axis: usize) -> Result<usize> {
        match &self.from {
            Origin::State(state) => {
                let shape = state.get(tensor).ok_or_else(|| self.missing(tensor))?.shape();
                shape
                    .get(axis)
                    .copied()
                    .ok_or_else(|| wrong_shape(tensor, self.architecture, shape, "one of more dimensions"))
            }
            Origin::Random { classes, .. } => Ok(*classes),
            #[cfg(test)]
            Origin::Zeros { classes } => Ok(*classes),
        }
    }

    /// Filters as `[kh, kw, c, m]`.
    pub(super) fn filters(&mut self, tensor: &str, shape: [usize; 4], order: FilterOrder) -> Result<Tensor> {
        let [kh, kw, c, m] = shape;
        let fan = [kh * kw * c, kh * kw * m];
        match order {
            FilterOrder::Hwio => self.get(tensor, shape.into(), None, WeightInit::Relu, fan),
            FilterOrder::Oihw => self.get(tensor, shape.into(), Some(&[3, 2, 0, 1]), WeightInit::Relu, fan),
        }
    }

    /// Filters of a depthwise convolution as `[kh, kw, c]`.
    pub(super) fn depthwise_filters(&mut self, tensor: &str, [kh, kw, c]: [usize; 3]) -> Result<Tensor> {
        let fan = [kh * kw, kh * kw];
        self.get(tensor, [kh, kw, 1, c].into(), Some(&[3, 2, 0, 1]), WeightInit::Relu, fan)?.reshape([kh, kw, c])
    }

    /// The matrix of a dense layer as `[k, n]`; the file has `[n, k]`.
    pub(super) fn matrix(&mut self, tensor: &str, [k, n]: [usize; 2]) -> Result<Tensor> {
        self.get(tensor, [k, n].into(), Some(&[1, 0]), WeightInit::Xavier, [k, n])
    }

    /// One value per channel; `init` is [`WeightInit::Zero`] or [`WeightInit::Ones`].
    pub(super) fn channels(&mut self, tensor: &str, channels: usize, init: WeightInit) -> Result<Tensor> {
        self.get(tensor, [channels].into(), None, init, [1, 1])
    }

    /// `file_order[i]` is the dimension of `shape` that the file has at place `i`.
    fn get(
        &mut self,
        tensor: &str,
        shape: Shape,
        file_order: Option<&[usize]>,
        init: WeightInit,
        fan: [usize; 2],
    ) -> Result<Tensor> {
        let state = match &mut self.from {
            Origin::State(state) => state,
            Origin::Random { seed, .. } => return Ok(init.draw(shape, fan, *seed, tensor)),
            #[cfg(test)]
            Origin::Zeros { .. } => return Ok(Tensor::zeros(shape)),
        };
        let Some(found) = state.remove(tensor) else { return Err(self.missing(tensor)) };
        let order: Vec<usize> = file_order.map_or_else(|| (0..shape.rank()).collect(), <[usize]>::to_vec);
        let expected: Shape = order.iter().map(|&d| shape[d]).collect::<Vec<_>>().into();
        if *found.shape() != expected {
            return Err(wrong_shape(tensor, self.architecture, found.shape(), &expected.to_string()));
        }
        if found.as_f32().is_none() {
            let reason = format!("tensor '{tensor}' holds {:?}, not floats", found.dtype());
            return Err(Error::format(self.architecture, reason));
        }
        if file_order.is_none() {
            return Ok(found);
        }
        let mut inverse = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &d)| inverse[d] = at);
        found.permute(&inverse)
    }

    fn missing(&self, tensor: &str) -> Error {
        Error::format(self.architecture, format!("tensor '{tensor}' is missing"))
    }

    /// Fails where the checkpoint has tensors nobody asked for: it belongs to another network.
    pub(super) fn finish(self) -> Result<()> {
        let Origin::State(state) = self.from else { return Ok(()) };
        let mut unknown: Vec<&str> = state.keys().map(String::as_str).filter(|name| !is_counter(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        let more = unknown.len().saturating_sub(MAX_LISTED);
        unknown.truncate(MAX_LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Err(Error::format(
            self.architecture,
            format!("it has tensors of another network: {}{more}", unknown.join(", ")),
        ))
    }
}

/// Whether a tensor counts training steps, which only a PyTorch batch norm with a momentum of `None` reads.
pub(super) fn is_counter(tensor: &str) -> bool {
    tensor.ends_with(".num_batches_tracked")
}

fn wrong_shape(tensor: &str, architecture: &str, found: &Shape, expected: &str) -> Error {
    Error::Shape {
        vertex: tensor.to_owned(),
        op: "parameter",
        reason: format!("the checkpoint has {found}, {architecture} takes {expected}"),
        inputs: vec![found.clone()],
    }
}
