//! Attributes shared by several ops.

use serde::{Deserialize, Serialize};

use crate::error::{OpError, Result, ensure_op};
use crate::tensor::{Shape, TensorType};

/// Order of the dimensions of an image batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, height, width, channels: what kernels read.
    #[default]
    Nhwc,
    /// Batch, channels, height, width: ONNX and PyTorch.
    Nchw,
}

impl Layout {
    /// Dimension of the channels.
    pub fn channel_axis(self) -> usize {
        match self {
            Self::Nhwc => 3,
            Self::Nchw => 1,
        }
    }

    /// Height, width and channels of an image batch.
    pub fn sizes(self, shape: &Shape) -> Result<[usize; 4], OpError> {
        ensure_op!(shape.rank() == 4, "takes an image batch of 4 dimensions, not {shape}");
        Ok(match self {
            Self::Nhwc => [shape[0], shape[1], shape[2], shape[3]],
            Self::Nchw => [shape[0], shape[2], shape[3], shape[1]],
        })
    }

    /// Shape of an image batch.
    pub fn shape(self, [n, h, w, c]: [usize; 4]) -> Shape {
        match self {
            Self::Nhwc => [n, h, w, c].into(),
            Self::Nchw => [n, c, h, w].into(),
        }
    }
}

/// Sizes of an NHWC batch; call it only with shapes that `infer` accepted.
pub fn split_nhwc(shape: &Shape) -> [usize; 4] {
    debug_assert_eq!(shape.rank(), 4, "an NHWC batch has 4 dimensions");
    [shape[0], shape[1], shape[2], shape[3]]
}

/// A closed interval that values are clamped to; infinite bounds are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clamp {
    /// Lower bound; `None` is −∞ (JSON has no infinities).
    pub min: Option<f32>,
    /// Upper bound; `None` is +∞.
    pub max: Option<f32>,
}

impl Clamp {
    /// `max(x, 0)`.
    pub const RELU: Self = Self { min: Some(0.0), max: None };
    /// `min(max(x, 0), 6)`.
    pub const RELU6: Self = Self { min: Some(0.0), max: Some(6.0) };

    /// The bounds as floats.
    pub fn bounds(self) -> (f32, f32) {
        (self.min.unwrap_or(f32::NEG_INFINITY), self.max.unwrap_or(f32::INFINITY))
    }
}

/// A sliding window over height and width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Rows and columns between outputs.
    pub stride: [usize; 2],
    /// Cells added at top, left, bottom and right.
    pub padding: [usize; 4],
    /// Rows and columns between taps.
    pub dilation: [usize; 2],
}

impl Default for Window {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0; 4], dilation: [1, 1] }
    }
}

/// Larger strides, paddings and dilations are no real network; the bound keeps sums far from overflow.
const MAX_ATTRIBUTE: usize = 1 << 20;

impl Window {
    /// Output height and width: `⌊(size + padding − dilation·(k − 1) − 1) / stride⌋ + 1` (ONNX operator spec, Conv and MaxPool, `ceil_mode` 0).
    pub fn output(&self, [h, w]: [usize; 2], kernel: [usize; 2]) -> Result<[usize; 2], OpError> {
        let all = self.stride.iter().chain(&self.padding).chain(&self.dilation).chain(&kernel);
        ensure_op!(all.clone().all(|&a| a <= MAX_ATTRIBUTE), "a window attribute exceeds {MAX_ATTRIBUTE}: {self:?}");
        let positive = self.stride.iter().chain(&self.dilation).chain(&kernel).all(|&a| a > 0);
        ensure_op!(positive, "kernel, stride and dilation must be at least 1: {kernel:?}, {self:?}");
        let [top, left, bottom, right] = self.padding;
        let extent = |size: usize, pads: usize, axis: usize| {
            let reach = self.dilation[axis] * (kernel[axis] - 1) + 1;
            ensure_op!(size + pads >= reach, "the window of {reach} does not fit the padded size {}", size + pads);
            Ok((size + pads - reach) / self.stride[axis] + 1)
        };
        Ok([extent(h, top + bottom, 0)?, extent(w, left + right, 1)?])
    }

    /// Padding that makes `output = ⌈size / stride⌉`, the odd cell at the end (TensorFlow's `SAME`, ONNX's `SAME_UPPER`).
    pub fn same(size: [usize; 2], kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> [usize; 4] {
        let total = |axis: usize| {
            let outputs = size[axis].div_ceil(stride[axis].max(1));
            let reach = dilation[axis] * (kernel[axis].max(1) - 1) + 1;
            (outputs.saturating_sub(1) * stride[axis] + reach).saturating_sub(size[axis])
        };
        let (rows, cols) = (total(0), total(1));
        [rows / 2, cols / 2, rows - rows / 2, cols - cols / 2]
    }
}

/// Fails unless there are `count` inputs, all `f32`.
pub(super) fn expect_f32(x: &[&TensorType], count: usize) -> Result<(), OpError> {
    ensure_op!(x.len() == count, "takes {count} inputs, not {}", x.len());
    ensure_op!(x.iter().all(|t| t.dtype == crate::tensor::DType::F32), "computes in f32 only");
    Ok(())
}
