//! Activations of layers as ops.

use super::config::Activation;
use crate::ops::{Activate, Clamp, Clip, Function, Op, Sigmoid, Softmax};

/// Slope below 0 of `leakyrelu` (Deeplearning4j `ActivationLReLU`).
const LEAKY_ALPHA: f32 = 0.01;
/// Slope and value at 0 of `hardsigmoid` (Deeplearning4j `HardSigmoid`, Keras 2).
const HARD_SIGMOID: [f32; 2] = [0.2, 0.5];

/// The op of an activation; `None` for identity. `axis` is the dimension that a softmax runs along.
pub(super) fn activation_op(activation: Activation, axis: usize) -> Option<Op> {
    let clip = |min, max| Some(Clip { clamp: Clamp { min: Some(min), max } }.into());
    let function = match activation {
        Activation::Identity => return None,
        Activation::Relu => return clip(0.0, None),
        Activation::Relu6 => return clip(0.0, Some(6.0)),
        Activation::HardTanh => return clip(-1.0, Some(1.0)),
        Activation::Sigmoid => return Some(Sigmoid.into()),
        Activation::Softmax => return Some(Softmax { axis }.into()),
        Activation::LeakyRelu => Function::LeakyRelu { alpha: LEAKY_ALPHA },
        Activation::Elu => Function::Elu { alpha: 1.0 },
        Activation::Selu => Function::Selu,
        Activation::Gelu => Function::Gelu,
        Activation::HardSigmoid => Function::HardSigmoid { alpha: HARD_SIGMOID[0], beta: HARD_SIGMOID[1] },
        Activation::Tanh => Function::Tanh,
        Activation::Softplus => Function::Softplus,
        Activation::Softsign => Function::Softsign,
        Activation::Swish => Function::Swish,
        Activation::HardSwish => Function::HardSwish,
        Activation::Mish => Function::Mish,
    };
    Some(Activate { function }.into())
}
