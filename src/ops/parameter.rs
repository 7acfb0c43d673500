use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::{CpuContext, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::tensor::TensorType;

/// What a parameter is to its layer; regularisation and initialisation depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Filters of a convolution, matrix of a dense layer.
    Weight,
    /// Added per output channel.
    Bias,
    /// Factor per channel of a normalisation.
    Gamma,
    /// Offset per channel of a normalisation.
    Beta,
    /// Running mean of a batch norm.
    Mean,
    /// Running variance of a batch norm.
    Variance,
}

impl Role {
    /// Whether an updater may change it; running statistics are none of its business.
    pub fn is_trainable(self) -> bool {
        !matches!(self, Self::Mean | Self::Variance)
    }
}

/// A stored value that belongs to a layer. The value lies in the vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// What it is to its layer.
    pub role: Role,
    /// Its type.
    #[serde(flatten)]
    pub ty: TensorType,
}

/// A stored value that is part of the computation and never trained. The value lies in the vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Constant {
    /// Its type.
    #[serde(flatten)]
    pub ty: TensorType,
}

macro_rules! stored {
    ($op:ident, $name:literal) => {
        impl Operator for $op {
            const NAME: &'static str = $name;

            fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
                ensure_op!(x.is_empty(), "takes no inputs");
                Ok(self.ty.clone())
            }

            fn eval_cpu(&self, _: &mut CpuContext<'_>, _: &[View<'_>], _: &mut [f32]) {}

            #[cfg(any(test, feature = "conformance"))]
            fn cases() -> Vec<Case> {
                Vec::new()
            }

            #[cfg(any(test, feature = "conformance"))]
            fn reference(&self, _: &[ndarray::ArrayD<f64>]) -> ndarray::ArrayD<f64> {
                ndarray::ArrayD::zeros(self.ty.shape.to_vec())
            }
        }
    };
}

stored!(Parameter, "parameter");
stored!(Constant, "constant");
