//! Rows of a feature set as the inputs of one training step.

use super::options::{Balanced, ClassWeights, FitOptions};
use crate::backend::Backend;
use crate::data::FeatureSet;
use crate::error::{Error, Result};

/// How the targets of a set are shared by the outputs that have a loss.
#[derive(Debug, Clone)]
pub(super) struct Heads {
    /// First column and number of columns of each output's targets.
    columns: Vec<(usize, usize)>,
}

impl Heads {
    /// One head takes all columns. Several take theirs side by side, or each takes all of them (an auxiliary head).
    pub(super) fn new(outputs: &[(String, usize)], set: &FeatureSet) -> Result<Self> {
        let labels = set.labels().len();
        if outputs.iter().all(|(_, width)| *width == labels) {
            return Ok(Self { columns: vec![(0, labels); outputs.len()] });
        }
        let total: usize = outputs.iter().map(|(_, width)| width).sum();
        if total == labels {
            let mut first = 0;
            let place = |(_, width): &(String, usize)| {
                first += width;
                (first - width, *width)
            };
            return Ok(Self { columns: outputs.iter().map(place).collect() });
        }
        let have: Vec<String> = outputs.iter().map(|(name, width)| format!("'{name}' has {width}")).collect();
        Err(Error::option("labels", format!("the data has {labels} labels, output {}", have.join(", "))))
    }

    /// Targets of head `head` in each of the rows of all targets.
    pub(super) fn targets<'a>(
        &self,
        head: usize,
        rows: &'a [f32],
        labels: usize,
    ) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let (first, width) = self.columns[head];
        rows.chunks_exact(labels).map(move |row| &row[first..first + width])
    }
}

/// How rows become targets and weights.
#[derive(Debug, Clone)]
pub(super) struct Targets {
    pub(super) heads: Heads,
    smoothing: f32,
    /// One factor a label; empty where all are 1.
    class_weights: Vec<f32>,
}

impl Targets {
    pub(super) fn new(heads: Heads, set: &FeatureSet, options: &FitOptions) -> Result<Self> {
        let class_weights = match &options.class_weights {
            None => Vec::new(),
            Some(ClassWeights::Named(Balanced::Balanced)) => balanced(set),
            Some(ClassWeights::Each(weights)) => {
                if let Some(unknown) = weights.keys().find(|label| !set.labels().contains(label)) {
                    return Err(Error::option("classWeights", format!("no class is called '{unknown}'")));
                }
                set.labels().iter().map(|label| weights.get(label).copied().unwrap_or(1.0)).collect()
            }
        };
        Ok(Self { heads, smoothing: options.label_smoothing, class_weights })
    }
}

fn balanced(set: &FeatureSet) -> Vec<f32> {
    let labels = set.labels().len();
    let mut sums = vec![0f64; labels];
    for row in set.plain_rows() {
        sums.iter_mut().zip(&set.targets()[row * labels..]).for_each(|(sum, t)| *sum += f64::from(*t));
    }
    let total: f64 = sums.iter().sum();
    // A class without rows weighs nothing: no row asks.
    let weight = |sum: &f64| if *sum > 0.0 { (total / (labels as f64 * sum)) as f32 } else { 0.0 };
    sums.iter().map(weight).collect()
}

/// Inputs of one step, in memory that every step uses again. Rows beyond the given ones repeat the first with weight 0.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// As the set has them, one row after the other.
    pub(super) labels: Vec<f32>,
    /// By head, smoothed.
    pub(super) targets: Vec<Vec<f32>>,
    /// Factor of each row's loss in the mean.
    pub(super) row_weights: Vec<f32>,
    rows: Vec<usize>,
}

impl Batch {
    /// Fills the batch with `rows`, up to `batch` of them.
    pub(super) fn gather(&mut self, set: &FeatureSet, rows: &[usize], batch: usize, targets: &Targets) {
        self.rows.clear();
        self.rows.extend(rows.iter().chain(std::iter::repeat(&rows[0])).take(batch));
        let classes = set.labels().len();
        self.labels.clear();
        for row in &self.rows {
            self.labels.extend_from_slice(&set.targets()[row * classes..][..classes]);
        }
        let mean = 1.0 / rows.len() as f32;
        let class_weight = |labels: &[f32]| match targets.class_weights.as_slice() {
            [] => 1.0,
            weights => labels.iter().zip(weights).map(|(t, w)| t * w).sum(),
        };
        self.row_weights.clear();
        self.row_weights.extend(self.labels.chunks_exact(classes).take(rows.len()).map(|row| mean * class_weight(row)));
        self.row_weights.resize(batch, 0.0);
        self.targets.resize_with(targets.heads.columns.len(), Vec::new);
        for (head, values) in self.targets.iter_mut().enumerate() {
            values.clear();
            targets.heads.targets(head, &self.labels, classes).for_each(|row| values.extend_from_slice(row));
            let (kept, spread) = (1.0 - targets.smoothing, targets.smoothing / targets.heads.columns[head].1 as f32);
            if targets.smoothing > 0.0 {
                values.iter_mut().for_each(|t| *t = *t * kept + spread);
            }
        }
    }

    /// Writes the features of the batch, which are in `set`, to the inputs of these names.
    pub(super) fn write_features(&self, set: &FeatureSet, backend: &mut Backend, names: &[String]) -> Result<()> {
        names.iter().zip(set.rows()).try_for_each(|(name, all)| backend.write_rows(name, all, &self.rows))
    }

    /// The same for measuring: targets as they are, every row alike.
    pub(super) fn gather_plain(&mut self, set: &FeatureSet, rows: &[usize], batch: usize, heads: &Heads) {
        let targets = Targets { heads: heads.clone(), smoothing: 0.0, class_weights: Vec::new() };
        self.gather(set, rows, batch, &targets);
    }
}
