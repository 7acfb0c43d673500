//! CPU kernels of regraft: f32, NHWC, wasm SIMD or what LLVM makes of arrays of four.
//!
//! Preconditions on lengths and shapes are checked where a plan is built; kernels assert them in debug builds only
//! and stay inside their slices in any case. The order in which an output element is summed depends on its own
//! row alone, so neither the batch size nor the position in the batch changes a bit of it.

pub mod activation;
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
mod pixels;
mod pool;
mod reduce;
mod scratch;
mod simd;
mod taps;
#[cfg(test)]
mod testing;
mod tile;
mod transpose;
mod update;
pub mod winograd;

pub use conv2d::{ConvShape, PackedConv, conv2d};
pub use conv2d_grad::{conv2d_dw, conv2d_dx};
pub use depthwise::depthwise;
pub use depthwise_grad::{depthwise_dw, depthwise_dx};
pub use elementwise::{
    add, channel_scale_shift, clamp, clamp_dx, clamped, copy, less, maximum, moving_average, mul, not_less, penalize,
    scale, shift, sigmoid, sigmoid_dx,
};
pub use gemm::{Epilogue, MatMulDims, PackedB, gemm, matmul};
pub use gemv::{GEMV_ROWS, gemv};
pub use normalize::{l2_normalize, l2_normalize_dx, layer_norm, layer_norm_dx, normalize_batch_dx};
pub use parallel::threads;
pub use pixels::{is_opaque, normalise};
pub use pool::{PoolShape, avg_pool, avg_pool_dx, global_avg_pool, max_pool, max_pool_dx};
pub use reduce::{
    is_finite, magnitudes, softmax_dx, softmax_nll, softmax_nll_dx, softmax_rows, squared_norm, sum_products, sum_rows,
    sum_squares,
};
pub use scratch::Scratch;
pub use taps::PackedTaps;
pub use tile::limit_tile_rows;
pub use transpose::{permute, transpose};
pub use update::{adadelta, adagrad, adam, adamax, amsgrad, flush, nadam, nesterovs, rmsprop, sgd};
