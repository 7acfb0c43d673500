//! CPU kernels: f32, NHWC, one thread.
//!
//! Preconditions on lengths and shapes are checked where a plan is built; kernels assert them in debug builds only
//! and stay inside their slices in any case. The order in which an output element is summed depends on its own
//! row alone, so neither the batch size nor the position in the batch changes a bit of it.

pub(crate) mod conv2d;
pub(crate) mod conv2d_grad;
pub(crate) mod depthwise;
pub(crate) mod elementwise;
pub(crate) mod gemm;
mod math;
pub(crate) mod pool;
pub(crate) mod reduce;
mod scratch;
mod simd;
#[cfg(test)]
mod testing;
mod tile;
pub(crate) mod update;

pub(crate) use conv2d::{ConvShape, PackedConv, conv2d};
pub(crate) use conv2d_grad::{conv2d_dw, conv2d_dx};
pub(crate) use gemm::{Epilogue, MatMulDims, PackedB, gemm, matmul};
pub(crate) use pool::PoolShape;
pub(crate) use scratch::Scratch;
