//! CPU kernels: f32, NHWC, one thread.
//!
//! Preconditions on lengths and shapes are checked where a plan is built; kernels assert them in debug builds only
//! and stay inside their slices in any case. The order in which an output element is summed depends on its own
//! row alone, so neither the batch size nor the position in the batch changes a bit of it.

pub(crate) mod activation;
mod conv2d;
mod conv2d_grad;
mod depthwise;
mod depthwise_grad;
mod elementwise;
mod gemm;
mod gemv;
mod lhs;
mod math;
mod normalize;
mod parallel;
mod pool;
mod reduce;
mod scratch;
mod simd;
#[cfg(test)]
mod testing;
mod tile;
mod update;
mod winograd;

pub(crate) use conv2d::{ConvShape, PackedConv, conv2d};
pub(crate) use conv2d_grad::{conv2d_dw, conv2d_dx};
pub(crate) use depthwise::depthwise;
pub(crate) use depthwise_grad::{depthwise_dw, depthwise_dx};
pub(crate) use elementwise::{
    add, channel_scale_shift, clamp, clamp_dx, clamped, less, maximum, mul, not_less, sigmoid,
};
pub(crate) use gemm::{Epilogue, MatMulDims, PackedB, gemm, matmul};
pub(crate) use gemv::{GEMV_ROWS, gemv};
pub(crate) use normalize::{l2_normalize, l2_normalize_dx, layer_norm, layer_norm_dx};
pub(crate) use pool::{PoolShape, avg_pool, avg_pool_dx, global_avg_pool, max_pool, max_pool_dx};
pub(crate) use reduce::{softmax_dx, softmax_nll, softmax_nll_dx, softmax_rows, sum_rows};
pub(crate) use scratch::Scratch;
pub(crate) use update::{adadelta, adagrad, adam, adamax, amsgrad, nadam, nesterovs, rmsprop, sgd};
