//! How good a model is, judged on data it was not trained on.

mod metrics;
mod report;

use serde::Serialize;

use crate::error::{Error, Result};

/// Probabilities below this are taken for it, and those above 1 for 1, so that a loss stays finite.
const SMALLEST: f32 = f32::MIN_POSITIVE;

/// What a classifier gets right and wrong. Serialises to `Evaluation` of the JavaScript API; its `toString` is
/// [`Display`](std::fmt::Display) here.
///
/// No number is NaN: one that is undefined, for want of samples or of a class, is 0 unless its field says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Number of samples.
    pub count: usize,
    /// Share of samples whose likeliest class is the actual one.
    pub accuracy: f64,
    /// 95 % interval of the accuracy (Wilson, 1927); \[0, 1\] without samples.
    pub accuracy_interval95: [f64; 2],
    /// Mean recall of the classes that occur.
    pub balanced_accuracy: f64,
    /// The N of [`Evaluation::top_n_accuracy`].
    pub top_n: usize,
    /// Share of samples whose actual class is among the N likeliest; of equally likely ones the first comes first.
    pub top_n_accuracy: f64,
    /// Mean cross-entropy, `-Σ t·ln p`, where the output has no loss of its own. Probabilities below 2^-126 count as that,
    /// NaN too.
    pub loss: f64,
    /// Mean F1 of the classes that occur or are predicted.
    pub macro_f1: f64,
    /// Matthews correlation of actual and predicted classes, -1 to 1 (Gorodkin, 2004, for any number of classes).
    pub mcc: f64,
    /// Mean distance of confidence and accuracy over 10 equal bins of confidence, weighted by samples (Guo et al., 2017).
    pub expected_calibration_error: f64,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// One entry a class, in the order of the labels.
    pub per_class: Vec<ClassReport>,
    /// Samples by actual class (rows) and predicted class (columns).
    pub confusion_matrix: Vec<Vec<usize>>,
    /// Samples whose likeliest class is not the actual one, most confident first.
    pub mistakes: Vec<Mistake>,
}

/// One class against all others.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassReport {
    /// Name of the class.
    pub label: String,
    /// Share of its predictions that are right; 0 when it is never predicted.
    pub precision: f64,
    /// Share of its samples that are found; 0 when it has none.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Samples of the class.
    pub support: usize,
    /// Probability that one of its samples gets a higher probability than one of another class, ties counting half; 0
    /// where one of the two sides has no samples.
    pub roc_auc: f64,
}

/// A sample that was taken for another class.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mistake {
    /// Id of the sample.
    pub id: String,
    /// Its actual class.
    pub label: String,
    /// Its likeliest class.
    pub predicted: String,
    /// Probability of that class.
    pub probability: f64,
}

impl Evaluation {
    /// Judges `probabilities`, `ids × labels` row-major, against `targets` of the same shape (one-hot, or a distribution
    /// whose largest entry is the actual class). Of equal entries the first is the largest; NaN counts as 0.
    ///
    /// [`Error::BadOption`] when there are no labels or `top_n` is 0, [`Error::Internal`] when lengths do not fit.
    pub fn new(
        probabilities: &[f32],
        targets: &[f32],
        labels: &[String],
        ids: &[String],
        top_n: usize,
    ) -> Result<Self> {
        let (count, classes) = (ids.len(), labels.len());
        if classes == 0 {
            return Err(Error::option("labels", "an evaluation needs at least one"));
        }
        if top_n == 0 {
            return Err(Error::option("topN", "must be at least 1"));
        }
        let values = count.checked_mul(classes);
        if values != Some(probabilities.len()) || values != Some(targets.len()) {
            let (p, t) = (probabilities.len(), targets.len());
            let reason = format!("{p} probabilities and {t} targets for {count} × {classes}");
            return Err(Error::internal(reason));
        }
        let actual: Vec<usize> = targets.chunks_exact(classes).map(largest).collect();
        let predicted: Vec<usize> = probabilities.chunks_exact(classes).map(largest).collect();
        let mut confusion_matrix = vec![vec![0; classes]; classes];
        for (&a, &p) in actual.iter().zip(&predicted) {
            confusion_matrix[a][p] += 1;
        }
        let per_class = class_reports(&confusion_matrix, probabilities, &actual, labels);
        let confident = confidences(probabilities, &actual, &predicted);
        let right = metrics::diagonal(&confusion_matrix);
        let top = probabilities.chunks_exact(classes).zip(&actual);
        let among_top = top.filter(|(row, actual)| rank(row, **actual) < top_n).count();
        let occurring = per_class.iter().filter(|c| c.support > 0);
        let counted = per_class.iter().zip(metrics::column_sums(&confusion_matrix));
        let counted = counted.filter(|(class, predicted)| class.support + predicted > 0);
        Ok(Self {
            count,
            accuracy: metrics::ratio(right, count),
            accuracy_interval95: metrics::wilson(right, count),
            balanced_accuracy: metrics::mean(occurring.map(|class| class.recall)),
            top_n,
            top_n_accuracy: metrics::ratio(among_top, count),
            loss: negative_log_likelihood(probabilities, targets, classes, count) / count.max(1) as f64,
            macro_f1: metrics::mean(counted.map(|(class, _)| class.f1)),
            mcc: metrics::mcc(&confusion_matrix),
            expected_calibration_error: metrics::calibration_error(&confident),
            labels: labels.to_vec(),
            per_class,
            confusion_matrix,
            mistakes: mistakes(&confident, &actual, &predicted, labels, ids),
        })
    }

    /// Classes that occur and are never predicted.
    pub fn never_predicted(&self) -> Vec<&str> {
        let predictions = metrics::column_sums(&self.confusion_matrix);
        let classes = self.per_class.iter().zip(predictions);
        let missed = classes.filter(|(class, predicted)| class.support > 0 && *predicted == 0);
        missed.map(|(class, _)| class.label.as_str()).collect()
    }
}

/// `−Σ t·ln p` summed over the first `rows` rows of `rows × classes` probabilities and targets.
pub(crate) fn negative_log_likelihood(probabilities: &[f32], targets: &[f32], classes: usize, rows: usize) -> f64 {
    let pairs = probabilities.iter().zip(targets).take(rows * classes).filter(|(_, t)| **t != 0.0);
    pairs.map(|(p, t)| -f64::from(*t) * libm::log(f64::from(p.max(SMALLEST)).min(1.0))).sum()
}

/// Index of the largest entry, the first of equals; NaN counts as 0.
fn largest(row: &[f32]) -> usize {
    let larger = |best: usize, i: usize| if row[i].max(0.0) > row[best].max(0.0) { i } else { best };
    (0..row.len()).fold(0, larger)
}

/// Entries that come before the given one when the row is sorted, largest first and stable.
fn rank(row: &[f32], index: usize) -> usize {
    let own = row[index].max(0.0);
    let before = |(i, p): (usize, &f32)| p.max(0.0) > own || (p.max(0.0) == own && i < index);
    row.iter().enumerate().filter(|&entry| before(entry)).count()
}

/// Probability of each sample's likeliest class, and whether that is the actual one.
fn confidences(probabilities: &[f32], actual: &[usize], predicted: &[usize]) -> Vec<(f64, bool)> {
    let classes = probabilities.len() / actual.len().max(1);
    let rows = probabilities.chunks_exact(classes.max(1)).zip(actual.iter().zip(predicted));
    rows.map(|(row, (a, &p))| (f64::from(row[p].max(0.0)).min(1.0), *a == p)).collect()
}

fn class_reports(
    confusion_matrix: &[Vec<usize>],
    probabilities: &[f32],
    actual: &[usize],
    labels: &[String],
) -> Vec<ClassReport> {
    let predictions = metrics::column_sums(confusion_matrix);
    let report = |(class, label): (usize, &String)| {
        let right = confusion_matrix[class][class];
        let support = confusion_matrix[class].iter().sum();
        let scores = probabilities.iter().skip(class).step_by(labels.len());
        let scored = scores.zip(actual).map(|(p, &a)| (p.max(0.0), a == class)).collect();
        ClassReport {
            label: label.clone(),
            precision: metrics::ratio(right, predictions[class]),
            recall: metrics::ratio(right, support),
            f1: metrics::ratio(2 * right, support + predictions[class]),
            support,
            roc_auc: metrics::roc_auc(scored),
        }
    };
    labels.iter().enumerate().map(report).collect()
}

fn mistakes(
    confident: &[(f64, bool)],
    actual: &[usize],
    predicted: &[usize],
    labels: &[String],
    ids: &[String],
) -> Vec<Mistake> {
    let mut all = Vec::new();
    for (((&(probability, right), &a), &p), id) in confident.iter().zip(actual).zip(predicted).zip(ids) {
        if !right {
            all.push(Mistake { id: id.clone(), label: labels[a].clone(), predicted: labels[p].clone(), probability });
        }
    }
    all.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    all
}
