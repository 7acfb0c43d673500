//! The operators, one file each: attributes, type inference, CPU evaluation, gradient rule, and for tests inputs to try
//! with a naive `f64` reference.
//!
//! Kernels work on NHWC; an op that has a [`Layout`] of NCHW is rewritten before a plan is made (`graph::rewrite`).

mod attributes;
#[cfg(any(test, feature = "conformance"))]
pub mod cases;
mod context;
mod gpu_context;

use serde::{Deserialize, Serialize};

use crate::error::{Error, OpError, Result};
use crate::graph::{Graph, VertexId};
pub use crate::kernels::wgsl::Tiles;
use crate::tensor::TensorType;
pub use attributes::{Clamp, Layout, Window, split_nhwc};
#[cfg(any(test, feature = "conformance"))]
pub use cases::{Case, CaseInput};
pub use context::{CpuContext, Prepared, View};
pub use gpu_context::{GpuContext, GpuLimits, GpuView, Scratches};

/// What every op has to say for itself.
pub trait Operator {
    /// Name shown to users and in errors.
    const NAME: &'static str;

    /// How many of the first inputs are updated in place; such an op's value is its first input.
    const UPDATES: usize = 0;

    /// Name shown in summaries; that of the function where one op has several.
    fn label(&self) -> &'static str {
        Self::NAME
    }

    /// Type of the value, or why the inputs do not fit.
    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError>;

    /// Weights brought into the form the kernel reads. `values` holds the inputs that are known when the plan is made.
    fn prepare(&self, _x: &[&TensorType], _values: &[Option<&[f32]>]) -> Prepared {
        Prepared::None
    }

    /// Floats that [`Operator::prepare`] keeps in place of a constant second input, which is then not read again. `None`: it
    /// prepares nothing.
    fn prepared_len(&self, _x: &[&TensorType]) -> Option<usize> {
        None
    }

    /// Computes `y` from `x`. Shapes are those `infer` accepted, none of them empty; every element of `y` is written.
    fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]);

    /// Updates the first [`Operator::UPDATES`] inputs in place; `x` holds the others.
    fn update_cpu(&self, _state: &mut [&mut [f32]], _x: &[View<'_>]) {}

    /// Appends the dispatches that compute `y` from `x`; an updater works on its first inputs in place and has no `y` of its own.
    /// Shapes are those `infer` accepted, none of them empty.
    ///
    /// # Errors
    /// `no-gpu` where there is no kernel; `over-budget` where a value is too large for the device.
    fn encode_gpu(&self, cx: &mut GpuContext, _x: &[GpuView<'_>], _y: GpuView<'_>) -> Result<()>
    where
        Self: Sized,
    {
        Err(cx.no_kernel::<Self>())
    }

    /// Appends vertices that compute the gradient of each input from that of the value (`dy`). `None`: not differentiable in that input.
    fn backward(&self, g: &mut Graph, v: VertexId, _dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let vertex = Some(g.get(v).name.clone());
        Err(Error::Internal { vertex, reason: format!("{} has no gradient", Self::NAME) })
    }

    /// Multiply-accumulates of one evaluation; 0 where memory traffic dominates.
    fn macs(&self, _x: &[&TensorType], _y: &TensorType) -> u64 {
        0
    }

    /// Inputs to try: sizes 1, odd, not a multiple of any tile, and every attribute.
    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case>;

    /// The same computation, obvious and slow.
    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ndarray::ArrayD<f64>]) -> ndarray::ArrayD<f64>;
}

macro_rules! ops {
    ($($module:ident::{$($op:ident),+};)+) => {
        $(mod $module; pub use $module::{$($op),+};)+

        /// An operator with its attributes. The set is closed.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "op", rename_all = "snake_case")]
        #[expect(missing_docs, reason = "each variant is documented at its type")]
        pub enum Op { $($($op($op),)+)+ }

        $($(impl From<$op> for Op { fn from(op: $op) -> Self { Self::$op(op) } })+)+

        impl Op {
            /// Names of all ops.
            pub const NAMES: &'static [&'static str] = &[$($($op::NAME,)+)+];

            /// Name shown to users and in errors.
            pub fn name(&self) -> &'static str {
                match self { $($(Self::$op(_) => $op::NAME,)+)+ }
            }
            /// See [`Operator::label`].
            pub fn label(&self) -> &'static str {
                match self { $($(Self::$op(op) => op.label(),)+)+ }
            }
            /// See [`Operator::UPDATES`].
            pub fn updates(&self) -> usize {
                match self { $($(Self::$op(_) => $op::UPDATES,)+)+ }
            }
            /// See [`Operator::infer`].
            pub fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
                match self { $($(Self::$op(op) => op.infer(x),)+)+ }
            }
            /// See [`Operator::prepare`].
            pub fn prepare(&self, x: &[&TensorType], values: &[Option<&[f32]>]) -> Prepared {
                match self { $($(Self::$op(op) => op.prepare(x, values),)+)+ }
            }
            /// See [`Operator::prepared_len`].
            pub fn prepared_len(&self, x: &[&TensorType]) -> Option<usize> {
                match self { $($(Self::$op(op) => op.prepared_len(x),)+)+ }
            }
            /// See [`Operator::eval_cpu`].
            pub fn eval_cpu(&self, cx: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
                match self { $($(Self::$op(op) => op.eval_cpu(cx, x, y),)+)+ }
            }
            /// See [`Operator::update_cpu`].
            pub fn update_cpu(&self, state: &mut [&mut [f32]], x: &[View<'_>]) {
                match self { $($(Self::$op(op) => op.update_cpu(state, x),)+)+ }
            }
            /// See [`Operator::encode_gpu`].
            pub fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
                match self { $($(Self::$op(op) => op.encode_gpu(cx, x, y),)+)+ }
            }
            /// See [`Operator::backward`].
            pub fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
                match self { $($(Self::$op(op) => op.backward(g, v, dy),)+)+ }
            }
            /// See [`Operator::macs`].
            pub fn macs(&self, x: &[&TensorType], y: &TensorType) -> u64 {
                match self { $($(Self::$op(op) => op.macs(x, y),)+)+ }
            }
            /// See [`Operator::reference`].
            #[cfg(any(test, feature = "conformance"))]
            pub fn reference(&self, x: &[ndarray::ArrayD<f64>]) -> ndarray::ArrayD<f64> {
                match self { $($(Self::$op(op) => op.reference(x),)+)+ }
            }
        }

        /// The cases of every op.
        #[cfg(any(test, feature = "conformance"))]
        pub fn all_cases() -> Vec<Case> {
            let mut all = Vec::new();
            $($(all.extend($op::cases());)+)+
            all
        }
    };
}

ops! {
    input::{Input};
    parameter::{Parameter, Constant};
    conv2d::{Conv2d, Conv2dInputGrad, Conv2dWeightGrad};
    depthwise_conv2d::{DepthwiseConv2d, DepthwiseConv2dInputGrad, DepthwiseConv2dWeightGrad};
    dense::{Dense};
    matmul::{MatMul};
    batch_norm::{BatchNorm, BatchNormGammaGrad};
    batch_statistics::{BatchMean, BatchVariance};
    normalize_batch::{NormalizeBatch, NormalizeBatchGrad};
    layer_norm::{LayerNorm, LayerNormGrad};
    l2_normalize::{L2Normalize, L2NormalizeGrad};
    clip::{Clip, ClipGrad};
    sigmoid::{Sigmoid, SigmoidGrad};
    activate::{Activate, ActivateGrad};
    add::{Add};
    multiply::{Multiply};
    maximum::{Maximum, MaximumGrad};
    scale::{Scale};
    shift::{Shift};
    sum_like::{SumLike};
    broadcast_like::{BroadcastLike};
    concat::{Concat};
    slice::{Slice};
    pad::{Pad};
    max_pool::{MaxPool, MaxPoolGrad};
    avg_pool::{AvgPool, AvgPoolGrad};
    global_avg_pool::{GlobalAvgPool};
    reshape::{Reshape, ReshapeLike};
    flatten::{Flatten};
    transpose::{Transpose};
    softmax::{Softmax, SoftmaxGrad};
    softmax_nll::{SoftmaxNll, SoftmaxNllGrad};
    row_loss::{RowLoss, RowLossGrad};
    dropout::{Dropout};
    moving_average::{MovingAverage};
    sgd::{Sgd};
    nesterovs::{Nesterovs};
    adam::{Adam};
    amsgrad::{AmsGrad};
    adamax::{AdaMax};
    nadam::{Nadam};
    adagrad::{AdaGrad};
    rmsprop::{RmsProp};
    adadelta::{AdaDelta};
    penalize::{Penalize};
    weight_decay::{WeightDecay};
    scale_norm::{ScaleNorm, SumSquares};
    constrain::{ConstrainNorm, ConstrainSign};
}

pub use activate::Function;
pub use parameter::Role;
pub use reshape::Dim;
pub use row_loss::RowLossKind;

/// Evaluates one op on its own, outside of any plan.
pub fn evaluate(op: &Op, x: &[View<'_>], len: usize) -> Vec<f32> {
    let (mut scratch, mut prepared) = (regraft_kernels::Scratch::default(), Prepared::None);
    let mut y = vec![0.0; len];
    op.eval_cpu(&mut CpuContext { scratch: &mut scratch, prepared: &mut prepared, fixed: false }, x, &mut y);
    y
}

impl Graph {
    /// Appends a vertex of a gradient rule, named after the vertex it belongs to.
    pub(crate) fn add_for(
        &mut self,
        v: VertexId,
        part: &str,
        op: impl Into<Op>,
        inputs: &[VertexId],
    ) -> Result<VertexId> {
        let name = self.free_name(&format!("{}/{part}", self.get(v).name));
        self.add(name, op, inputs)
    }
}
