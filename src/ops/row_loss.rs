#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl::{self, Region};
use crate::tensor::{Shape, TensorType};

/// What [`RowLoss`] computes of the elements `y` and `t` of a row; `ε` is 1e-7. The formulas are those of the Keras 3 loss named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowLossKind {
    /// `Σ −t·ln y` with `y` clipped to `ε..1 − ε` (`CategoricalCrossentropy`, which also divides `y` by its sum).
    Nll,
    /// Mean of `−t·ln y − (1 − t)·ln(1 − y)` with `y` clipped to `ε..1 − ε` (`BinaryCrossentropy`).
    Binary,
    /// The same where `y` is the input of a sigmoid: mean of `max(y, 0) − y·t + ln(1 + e^−|y|)`
    /// (`BinaryCrossentropy(from_logits=True)`).
    BinaryLogits,
    /// Mean of `(y − t)²` (`MeanSquaredError`).
    Mse,
    /// Mean of `|y − t|` (`MeanAbsoluteError`).
    Mae,
    /// Mean of `max(1 − s·y, 0)`, `s` 1 for targets above ½ and −1 for the others (`Hinge`, which maps targets of 0 and 1 so).
    Hinge,
    /// Mean of `max(1 − s·y, 0)²` (`SquaredHinge`).
    SquaredHinge,
    /// `Σ t·ln(t / y)` with both clipped to `ε..1` (`KLDivergence`).
    KlDivergence,
    /// Mean of `y − t·ln(y + ε)` (`Poisson`).
    Poisson,
    /// `−Σ t·y / (|t|·|y|)`, squares of norms at least 1e-12 (`CosineSimilarity`).
    Cosine,
}

const EPSILON: f32 = 1e-7;
/// Lower bound of the squared norms of [`RowLossKind::Cosine`].
const SMALLEST_SQUARE: f32 = 1e-12;

impl RowLossKind {
    /// The part of one element; nothing for the cosine, which is no sum of parts.
    fn value(self, y: f32, t: f32) -> f32 {
        match self {
            Self::Nll => -t * libm::logf(y.clamp(EPSILON, 1.0 - EPSILON)),
            Self::Binary => {
                let y = y.clamp(EPSILON, 1.0 - EPSILON);
                -t * libm::logf(y) - (1.0 - t) * libm::log1pf(-y)
            }
            Self::BinaryLogits => y.max(0.0) - y * t + libm::log1pf(libm::expf(-y.abs())),
            Self::Mse => (y - t) * (y - t),
            Self::Mae => (y - t).abs(),
            Self::Hinge => positive(1.0 - side(t) * y),
            Self::SquaredHinge => positive(1.0 - side(t) * y).powi(2),
            Self::KlDivergence => {
                let t = t.clamp(EPSILON, 1.0);
                t * libm::logf(t / y.clamp(EPSILON, 1.0))
            }
            Self::Poisson => y - t * libm::logf(y + EPSILON),
            Self::Cosine => 0.0,
        }
    }

    /// Derivative of [`RowLossKind::value`] in `y`; 0 where `y` is clipped.
    fn slope(self, y: f32, t: f32) -> f32 {
        let inside = |low: f32, high: f32, slope: f32| if y < low || y > high { 0.0 } else { slope };
        match self {
            Self::Nll => inside(EPSILON, 1.0 - EPSILON, -t / y),
            Self::Binary => inside(EPSILON, 1.0 - EPSILON, (y - t) / (y * (1.0 - y))),
            Self::BinaryLogits => 1.0 / (1.0 + libm::expf(-y)) - t,
            Self::Mse => 2.0 * (y - t),
            Self::Mae if y == t => 0.0,
            Self::Mae => (y - t).signum(),
            Self::Hinge if side(t) * y >= 1.0 => 0.0,
            Self::Hinge => -side(t),
            Self::SquaredHinge => -2.0 * side(t) * positive(1.0 - side(t) * y),
            Self::KlDivergence => inside(EPSILON, 1.0, -t.clamp(EPSILON, 1.0) / y),
            Self::Poisson => 1.0 - t / (y + EPSILON),
            Self::Cosine => 0.0,
        }
    }

    /// Factor of the sum over `columns`.
    fn share(self, columns: usize) -> f32 {
        match self {
            Self::Nll | Self::KlDivergence | Self::Cosine => 1.0,
            _ => 1.0 / columns as f32,
        }
    }
}

/// `max(x, 0)`; NaN stays, so that a loss does not hide it.
fn positive(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

fn side(t: f32) -> f32 {
    if t > 0.5 { 1.0 } else { -1.0 }
}

/// Loss of each row, with a factor for each column.
///
/// Inputs: output `y` and targets `t`, both `[m, c]`. Value: `[m]`. Targets get no gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowLoss {
    /// The formula.
    pub kind: RowLossKind,
    /// Factor of each column's part; empty where all are 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f32>,
}

/// One row: output, targets, column weights.
struct Row<'a> {
    y: &'a [f32],
    t: &'a [f32],
    weights: &'a [f32],
}

impl Row<'_> {
    fn weight(&self, column: usize) -> f32 {
        self.weights.get(column).copied().unwrap_or(1.0)
    }

    fn sum(&self, f: impl Fn(f32, f32) -> f32) -> f32 {
        self.y.iter().zip(self.t).map(|(y, t)| f(*y, *t)).sum()
    }

    fn weighted(&self, f: impl Fn(f32, f32) -> f32) -> f32 {
        self.y.iter().zip(self.t).enumerate().map(|(j, (y, t))| self.weight(j) * f(*y, *t)).sum()
    }

    /// `|y|²` and `1 / (|t|·|y|)`.
    fn norms(&self) -> (f32, f32) {
        let y = self.sum(|y, _| y * y).max(SMALLEST_SQUARE);
        (y, 1.0 / (y.sqrt() * self.sum(|_, t| t * t).max(SMALLEST_SQUARE).sqrt()))
    }

    fn loss(&self, kind: RowLossKind) -> f32 {
        match kind {
            RowLossKind::Cosine => -self.weighted(|y, t| y * t) * self.norms().1,
            kind => self.weighted(|y, t| kind.value(y, t)) * kind.share(self.y.len()),
        }
    }

    fn gradient(&self, kind: RowLossKind, dloss: f32, dy: &mut [f32]) {
        let (square, scale) = self.norms();
        let along = self.weighted(|y, t| y * t) * scale / square;
        for (j, ((dy, &y), &t)) in dy.iter_mut().zip(self.y).zip(self.t).enumerate() {
            *dy = dloss
                * match kind {
                    RowLossKind::Cosine => along * y - self.weight(j) * t * scale,
                    kind => self.weight(j) * kind.slope(y, t) * kind.share(self.y.len()),
                };
        }
    }
}

/// The rows of output and targets.
fn rows<'a>(x: &[View<'a>], weights: &'a [f32]) -> impl Iterator<Item = Row<'a>> {
    let columns = x[0].shape.rows_cols().1.max(1);
    let pairs = x[0].data.chunks_exact(columns).zip(x[1].data.chunks_exact(columns));
    pairs.map(move |(y, t)| Row { y, t, weights })
}

/// Fails unless output and targets are matrices of one shape, and weights fit their columns.
fn expect_rows(x: &[&TensorType], weights: &[f32]) -> Result<usize, OpError> {
    let (y, t) = (&x[0].shape, &x[1].shape);
    ensure_op!(y.rank() == 2, "takes rows of outputs [m, c], not {y}");
    ensure_op!(y == t, "outputs are {y}, targets {t}");
    ensure_op!(weights.is_empty() || weights.len() == y[1], "{} weights for {} columns", weights.len(), y[1]);
    Ok(y[0])
}

/// Losses or gradients of all rows: `x` are outputs, targets and, for gradients, `dloss`.
fn encode_rows(
    kind: RowLossKind,
    weights: &[f32],
    gradient: bool,
    cx: &mut GpuContext,
    x: &[Region],
    shape: &Shape,
    y: Region,
) -> Result<()> {
    let (rows, columns) = shape.rows_cols();
    let text = [include_str!("row_loss.wgsl"), &weight_text(weights)].concat();
    let kernel =
        wgsl::rows(&text, columns).with("KIND", f64::from(kind as u32)).with("GRADIENT", f64::from(u8::from(gradient)));
    cx.rows(&kernel, x, &[y], [rows, columns], &[kind.share(columns).to_bits()])
}

/// WGSL of `fn weight(column: u32) -> f32`.
fn weight_text(weights: &[f32]) -> String {
    if weights.is_empty() {
        return "fn weight(column: u32) -> f32 { return 1.0; }".into();
    }
    // No array: naga 30 loses the order of types where one is used beside overrides.
    let cases: String = weights.iter().enumerate().map(|(j, w)| format!("case {j}u: {{ return {w:e}f; }}\n")).collect();
    format!("fn weight(column: u32) -> f32 {{\nswitch column {{\n{cases}default: {{ return 1.0; }}\n}}\n}}")
}

impl Operator for RowLoss {
    const NAME: &'static str = "row_loss";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        Ok(TensorType::f32([expect_rows(x, &self.weights)?]))
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], losses: &mut [f32]) {
        losses.iter_mut().zip(rows(x, &self.weights)).for_each(|(loss, row)| *loss = row.loss(self.kind));
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        encode_rows(self.kind, &self.weights, false, cx, &[x[0].region, x[1].region, x[0].region], x[0].shape, y.region)
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let (y, t) = (g.get(v).inputs[0], g.get(v).inputs[1]);
        let op = RowLossGrad { kind: self.kind, weights: self.weights.clone() };
        Ok(vec![Some(g.add_for(v, "dy", op, &[y, t, dy])?), None])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |(kind, weights), shape: &[usize]| {
            let (low, high) = range(kind);
            Case::new(Self { kind, weights }, [shape, shape]).range(0, low, high).range(1, 0.0, 1.0).constant(1)
        };
        let plain = KINDS.into_iter().flat_map(|k| [case((k, vec![]), &[1, 1]), case((k, vec![]), &[7, 37])]);
        plain.chain(KINDS.into_iter().map(|k| case((k, vec![0.5, 0.0, 2.0]), &[5, 3]))).collect()
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (y, t, columns) = (&x[0], &x[1], x[0].shape()[1]);
        let weight = |j: usize| self.weights.get(j).map_or(1.0, |w| f64::from(*w));
        let norm = |x: &ArrayD<f64>, i: usize| (0..columns).map(|j| x[[i, j]].powi(2)).sum::<f64>().sqrt();
        let part = |i: usize, j: usize| {
            let (y, t) = (y[[i, j]], t[[i, j]]);
            let cross = |p: f64| -(t * p.ln() + (1.0 - t) * (1.0 - p).ln()) / columns as f64;
            let hinge = if t > 0.5 { 1.0 - y } else { 1.0 + y }.max(0.0) / columns as f64;
            match self.kind {
                RowLossKind::Nll => t * (1.0 / y.clamp(1e-7, 1.0 - 1e-7)).ln(),
                RowLossKind::Binary => cross(y.clamp(1e-7, 1.0 - 1e-7)),
                RowLossKind::BinaryLogits => cross(1.0 / (1.0 + (-y).exp())),
                RowLossKind::Mse => (y - t).powi(2) / columns as f64,
                RowLossKind::Mae => (y - t).abs() / columns as f64,
                RowLossKind::Hinge => hinge,
                RowLossKind::SquaredHinge => hinge.powi(2) * columns as f64,
                RowLossKind::KlDivergence => t.max(1e-7) * (t.max(1e-7).ln() - y.max(1e-7).ln()),
                RowLossKind::Poisson => (y - t * (y + 1e-7).ln()) / columns as f64,
                RowLossKind::Cosine => 0.0,
            }
        };
        let cosine = |i: usize| {
            let dot: f64 = (0..columns).map(|j| weight(j) * y[[i, j]] * t[[i, j]]).sum();
            -dot / (norm(y, i) * norm(t, i))
        };
        ArrayD::from_shape_fn(vec![y.shape()[0]], |at| match self.kind {
            RowLossKind::Cosine => cosine(at[0]),
            _ => (0..columns).map(|j| weight(j) * part(at[0], j)).sum(),
        })
    }
}

#[cfg(any(test, feature = "conformance"))]
const KINDS: [RowLossKind; 10] = [
    RowLossKind::Nll,
    RowLossKind::Binary,
    RowLossKind::BinaryLogits,
    RowLossKind::Mse,
    RowLossKind::Mae,
    RowLossKind::Hinge,
    RowLossKind::SquaredHinge,
    RowLossKind::KlDivergence,
    RowLossKind::Poisson,
    RowLossKind::Cosine,
];

/// Outputs that a loss is defined on, away from the ends of clipping.
#[cfg(any(test, feature = "conformance"))]
fn range(kind: RowLossKind) -> (f32, f32) {
    match kind {
        RowLossKind::Nll | RowLossKind::Binary | RowLossKind::KlDivergence => (0.05, 0.95),
        RowLossKind::Poisson => (0.1, 4.0),
        RowLossKind::BinaryLogits => (-12.0, 12.0),
        _ => (-2.0, 2.0),
    }
}

/// Gradient of [`RowLoss`] in the outputs. Inputs: outputs, targets, `dloss` of `[m]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowLossGrad {
    /// As in the forward op.
    pub kind: RowLossKind,
    /// As in the forward op.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f32>,
}

impl Operator for RowLossGrad {
    const NAME: &'static str = "row_loss_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 3)?;
        let m = expect_rows(&x[..2], &self.weights)?;
        ensure_op!(x[2].shape == Shape::from([m]), "the gradient is {}, not [{m}]", x[2].shape);
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], dy: &mut [f32]) {
        let columns = x[0].shape.rows_cols().1.max(1);
        for ((dy, row), dloss) in dy.chunks_exact_mut(columns).zip(rows(x, &self.weights)).zip(x[2].data) {
            row.gradient(self.kind, *dloss, dy);
        }
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let inputs = [x[0].region, x[1].region, x[2].region];
        encode_rows(self.kind, &self.weights, true, cx, &inputs, x[0].shape, y.region)
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        let case = |(kind, weights), shape: &[usize]| {
            let (low, high) = range(kind);
            Case::new(Self { kind, weights }, [shape, shape, &shape[..1]]).range(0, low, high).range(1, 0.0, 1.0)
        };
        let plain = KINDS.into_iter().flat_map(|k| [case((k, vec![]), &[1, 1]), case((k, vec![]), &[7, 5])]);
        plain.chain(KINDS.into_iter().map(|k| case((k, vec![0.5, 0.0, 2.0]), &[5, 3]))).collect()
    }

    /// Central differences of the forward reference: a second way to the same gradient.
    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        const STEP: f64 = 1e-6;
        let forward = RowLoss { kind: self.kind, weights: self.weights.clone() };
        ArrayD::from_shape_fn(x[0].raw_dim(), |at| {
            let moved = |step: f64| {
                let mut y = x[0].clone();
                y[&at] += step;
                forward.reference(&[y, x[1].clone()])[[at[0]]]
            };
            (moved(STEP) - moved(-STEP)) / (2.0 * STEP) * x[2][[at[0]]]
        })
    }
}
