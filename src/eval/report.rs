//! The printed form of an [`Evaluation`].

use std::fmt::{Display, Formatter, Result};

use super::Evaluation;

/// Classes up to which the confusion matrix is printed.
const MATRIX_CLASSES: usize = 20;

/// Characters of a label that are printed.
const LABEL_WIDTH: usize = 24;

impl Display for Evaluation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let [low, high] = self.accuracy_interval95;
        let top = format!("top-{} accuracy", self.top_n);
        writeln!(f, "{} samples, {} classes", self.count, self.labels.len())?;
        writeln!(f)?;
        writeln!(f, "accuracy           {:>7.4}  (95 %: {low:.4} to {high:.4})", self.accuracy)?;
        writeln!(f, "balanced accuracy  {:>7.4}", self.balanced_accuracy)?;
        writeln!(f, "{top:<18} {:>7.4}", self.top_n_accuracy)?;
        writeln!(f, "loss               {:>7.4}", self.loss)?;
        writeln!(f, "macro F1           {:>7.4}", self.macro_f1)?;
        writeln!(f, "MCC                {:>7.4}", self.mcc)?;
        writeln!(f, "calibration error  {:>7.4}", self.expected_calibration_error)?;
        self.fmt_classes(f)?;
        self.fmt_matrix(f)?;
        let missed = self.never_predicted();
        if !missed.is_empty() {
            writeln!(f)?;
            writeln!(f, "Warning: never predicted: {}", missed.join(", "))?;
        }
        Ok(())
    }
}

impl Evaluation {
    fn label_width(&self) -> usize {
        let longest = self.labels.iter().map(|label| short(label).chars().count()).max();
        longest.unwrap_or(0).max("actual".len())
    }

    fn fmt_classes(&self, f: &mut Formatter<'_>) -> Result {
        let width = self.label_width();
        writeln!(f)?;
        writeln!(f, "{:<width$}  precision  recall      F1  ROC AUC  samples", "class")?;
        for class in &self.per_class {
            // An AUC needs samples on both sides, a recall on its own.
            let defined = |defined: bool, value: f64| {
                if defined { format!("{value:.4}") } else { "-".to_owned() }
            };
            writeln!(
                f,
                "{:<width$}  {:>9.4}  {:>6}  {:.4}  {:>7}  {:>7}",
                short(&class.label),
                class.precision,
                defined(class.support > 0, class.recall),
                class.f1,
                defined(class.support > 0 && class.support < self.count, class.roc_auc),
                class.support,
            )?;
        }
        Ok(())
    }

    fn fmt_matrix(&self, f: &mut Formatter<'_>) -> Result {
        let classes = self.labels.len();
        if classes > MATRIX_CLASSES {
            return Ok(());
        }
        let width = self.label_width();
        let cell = self.count.max(classes).to_string().len();
        writeln!(f)?;
        write!(f, "{:>width$}    ", "actual")?;
        for class in 1..=classes {
            write!(f, "  {class:>cell$}")?;
        }
        writeln!(f, "  predicted")?;
        for (index, (label, row)) in self.labels.iter().zip(&self.confusion_matrix).enumerate() {
            write!(f, "{:<width$}  {:>2}", short(label), index + 1)?;
            for samples in row {
                write!(f, "  {samples:>cell$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The start of a long label.
fn short(label: &str) -> String {
    label.chars().take(LABEL_WIDTH).collect()
}
