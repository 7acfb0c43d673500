"""Writes evaluation.json: random predictions and what scikit-learn and SciPy make of them.

pip install scikit-learn; python evaluation.py
Written with scikit-learn 1.9, SciPy 1.17, numpy 2.4.
"""
import json
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from sklearn import metrics
from sklearn.calibration import calibration_curve

rng = np.random.default_rng(21)
warnings.simplefilter("ignore")  # absent classes are meant


def calibration_error(right, confidence):
    """Guo et al. 2017, equation 3, from scikit-learn's bins (which leave out empty ones)."""
    accuracy, mean_confidence = calibration_curve(right, confidence, n_bins=10)
    edges = np.linspace(0, 1, 11)
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=10)
    return float(np.sum(counts[counts > 0] / len(right) * np.abs(accuracy - mean_confidence)))


def reference(p, targets, top_n):
    classes = range(p.shape[1])
    actual, predicted, confidence = targets.argmax(1), p.argmax(1), p.max(1)
    right = actual == predicted
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        actual, predicted, labels=classes, zero_division=0)
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, "wilson")
    first_of_ties = p - 1e-9 * np.arange(p.shape[1])
    if p.shape[1] == 2:
        top = metrics.top_k_accuracy_score(actual, first_of_ties[:, 1] - first_of_ties[:, 0], k=top_n, labels=[0, 1])
    else:
        top = metrics.top_k_accuracy_score(actual, first_of_ties, k=top_n, labels=list(classes))
    auc = [metrics.roc_auc_score(actual == c, p[:, c]) if 0 < support[c] < len(p) else 0.0 for c in classes]
    return {
        "count": len(p),
        "accuracy": metrics.accuracy_score(actual, predicted),
        "accuracyInterval95": [interval.low, interval.high],
        "balancedAccuracy": metrics.balanced_accuracy_score(actual, predicted),
        "topN": top_n,
        "topNAccuracy": float(top),
        "loss": float(np.mean(-np.sum(np.where(targets > 0, targets * np.log(p), 0), 1))),
        "macroF1": metrics.f1_score(actual, predicted, average="macro", zero_division=0),
        "mcc": float(metrics.matthews_corrcoef(actual, predicted)),
        "expectedCalibrationError": calibration_error(right, confidence),
        "labels": [f"class {c}" for c in classes],
        "perClass": [
            {"label": f"class {c}", "precision": float(precision[c]), "recall": float(recall[c]), "f1": float(f1[c]),
             "support": int(support[c]), "rocAuc": float(auc[c])} for c in classes],
        "confusionMatrix": metrics.confusion_matrix(actual, predicted, labels=list(classes)).tolist(),
        "mistakes": [
            {"id": f"sample {i}", "label": f"class {actual[i]}", "predicted": f"class {predicted[i]}",
             "probability": float(confidence[i])}
            for i in np.argsort(-confidence, kind="stable") if not right[i]],
    }


def case(name, count, classes, top_n=1, sharpness=1.5, grid=None, absent=(), hidden=True, soft=False, perfect=False):
    actual = rng.choice([c for c in range(classes) if c not in absent], count, p=None)
    logits = rng.normal(size=(count, classes)) + (50 if perfect else sharpness) * np.eye(classes)[actual]
    logits[:, list(absent) if hidden else []] = -30
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    if grid:
        p = np.maximum(np.round(p * grid) / grid, 1 / 1024)
    targets = np.eye(classes)[actual]
    if soft:
        targets = np.round(0.875 * targets + 0.125 * rng.dirichlet(np.ones(classes), count), 3)
    p, targets = p.astype(np.float32).astype(np.float64), targets.astype(np.float32).astype(np.float64)
    if not soft and not grid:
        assert np.isclose(metrics.log_loss(actual, p, labels=list(range(classes))), reference(p, targets, top_n)["loss"], atol=1e-6)
    return {"name": name, "probabilities": p.ravel().tolist(), "targets": targets.ravel().tolist(),
            "expected": reference(p, targets, top_n)}


cases = [
    case("five classes", 120, 5, top_n=3),
    case("two classes", 60, 2, sharpness=0.7),
    case("ties", 150, 4, top_n=2, grid=8),
    case("classes that do not occur", 50, 5, top_n=2, absent=(1, 4)),
    case("soft targets", 40, 3, soft=True),
    case("all right", 20, 3, perfect=True),
    case("one sample", 1, 3, top_n=2),
    case("one class occurs", 30, 3, absent=(0, 2), hidden=False, sharpness=0.5),
    case("more than there are classes", 25, 3, top_n=5),
    case("never right", 24, 3, sharpness=-8),
    case("all alike", 40, 4, top_n=2, grid=1),
]
Path(__file__).with_name("evaluation.json").write_text(json.dumps(cases))
