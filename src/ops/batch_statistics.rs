//! Mean and variance of the channels of a batch.

#[cfg(any(test, feature = "conformance"))]
use ndarray::{ArrayD, Axis};
use regraft_kernels as cpu;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::sum_like::ColumnSums;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::tensor::TensorType;

/// Mean of each channel over all rows of the batch. Input: `x`, `[…, c]`; value: `[c]`. No gradient passes: that of the statistics is
/// part of [`super::NormalizeBatch`]'s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchMean;

/// Mean square of the differences from the mean, not corrected for their number. Inputs: `x`, `[…, c]`, and its mean, `[c]`; value:
/// `[c]`. No gradient passes, as of [`BatchMean`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchVariance;

fn channels(x: &TensorType) -> Result<TensorType, OpError> {
    ensure_op!(x.shape.rank() > 1, "takes a batch with channels, not {}", x.shape);
    Ok(TensorType::f32([x.shape.rows_cols().1]))
}

impl Operator for BatchMean {
    const NAME: &'static str = "batch_mean";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        channels(x[0])
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let (rows, cols) = x[0].shape.rows_cols();
        cpu::sum_rows(rows, cols, x[0].data, y);
        y.iter_mut().for_each(|y| *y /= rows as f32);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let rows = x[0].shape.rows_cols().0;
        ColumnSums { scale: 1.0 / rows as f32, ..ColumnSums::PLAIN }.encode(cx, &[x[0].region], y.region, rows)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let shapes: [&[usize]; 4] = [&[1, 1], &[2, 5, 3, 19], &[3, 40, 8], &[700, 5]];
        shapes.into_iter().map(|x| Case::new(Self, [x])).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let mut mean = x[0].clone();
        while mean.ndim() > 1 {
            mean = mean.mean_axis(Axis(0)).unwrap_or_else(|| panic!("no rows"));
        }
        mean
    }
}

impl Operator for BatchVariance {
    const NAME: &'static str = "batch_variance";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        let y = channels(x[0])?;
        ensure_op!(*x[1] == y, "the mean is {}, not {}", x[1].shape, y.shape);
        Ok(y)
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        let rows = x[0].shape.rows_cols().0;
        cpu::sum_squares(x[0].data, x[1].data, y);
        y.iter_mut().for_each(|y| *y /= rows as f32);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let rows = x[0].shape.rows_cols().0;
        let (term, scale) = (include_str!("batch_variance.wgsl"), 1.0 / rows as f32);
        let sums = ColumnSums { term, scale, ..ColumnSums::PLAIN };
        sums.encode(cx, &[x[0].region, x[1].region], y.region, rows)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |x: &[usize]| Case::new(Self, [x, &x[x.len() - 1..]]).value_of(1, BatchMean, &[0]);
        vec![case(&[1, 1]), case(&[2, 5, 3, 19]), case(&[3, 40, 8]), case(&[700, 5])]
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        BatchMean.reference(&[(&x[0] - &x[1]).mapv(|d| d * d)])
    }
}
