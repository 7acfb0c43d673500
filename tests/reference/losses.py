"""Losses of rows and their gradients: the golden of tests/learning/losses.rs.

    pip install tensorflow-cpu keras numpy && python tests/reference/losses.py > tests/reference/losses.json

Keras 3 losses in f64 with gradients by TensorFlow, through the activation of the output. Column weights have no counterpart in Keras:
there each column's part is written out in TensorFlow.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

keras.config.set_floatx("float64")
ROWS, COLUMNS = 5, 4
WEIGHTS = [0.5, 1.0, 2.0, 0.0]
rng = np.random.default_rng(3)
x = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32) * 2
extreme = np.array([[90, -90, 3, -3], [-120, 40, 1, 0]], np.float32)
one_hot = np.eye(COLUMNS, dtype=np.float32)[rng.integers(0, COLUMNS, ROWS)]
smooth = (one_hot * 0.9 + 0.1 / COLUMNS).astype(np.float32)
several = rng.integers(0, 2, (ROWS, COLUMNS)).astype(np.float32)
numbers = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
counts = rng.integers(0, 6, (ROWS, COLUMNS)).astype(np.float32)
signs = several * 2 - 1

identity, softmax, sigmoid = lambda x: x, tf.nn.softmax, tf.math.sigmoid
softplus = tf.math.softplus
k = keras.losses


def from_logits(t, x):
    return tf.nn.softmax_cross_entropy_with_logits(t, x)


def binary_from_logits(t, x):
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(t, x), -1)


def weighted(part, mean):
    def loss(t, y):
        parts = part(t, y) * tf.constant(WEIGHTS, tf.float64)
        return tf.reduce_mean(parts, -1) if mean else tf.reduce_sum(parts, -1)

    return loss


def cosine_parts(t, y):
    return -tf.math.l2_normalize(t, -1) * tf.math.l2_normalize(y, -1)


# name of the loss, activation, what goes into it, targets, loss of (targets, activated), weighted?
cases = [
    ("negativeloglikelihood", "softmax", x, one_hot, k.categorical_crossentropy, False),
    ("mcxent", "softmax", x, smooth, k.categorical_crossentropy, False),
    ("sparse_mcxent", "softmax", x, one_hot, lambda t, y: k.sparse_categorical_crossentropy(tf.argmax(t, -1), y), False),
    ("xent", "sigmoid", x, several, k.binary_crossentropy, False),
    ("mse", "identity", x, numbers, k.mean_squared_error, False),
    ("mse", "sigmoid", x, several, k.mean_squared_error, False),
    ("mae", "identity", x, numbers, k.mean_absolute_error, False),
    ("hinge", "identity", x, signs, k.hinge, False),
    ("hinge", "identity", x, one_hot, k.hinge, False),
    ("squared_hinge", "identity", x, signs, k.squared_hinge, False),
    ("squared_hinge", "identity", x, one_hot, k.squared_hinge, False),
    ("kl_divergence", "softmax", x, smooth, k.kl_divergence, False),
    ("kl_divergence", "softmax", x, one_hot, k.kl_divergence, False),
    ("poisson", "softmax", x, counts, k.poisson, False),
    ("cosine_proximity", "identity", x, numbers, k.cosine_similarity, False),
    # Probabilities that are no activation's result here; Keras divides them by their sum, which changes the gradient alone.
    ("mcxent", "clip", tf.nn.softmax(x).numpy(), smooth, lambda t, y: tf.reduce_sum(-t * tf.math.log(y), -1), False),
    ("xent", "clip", tf.math.sigmoid(x).numpy(), several, k.binary_crossentropy, False),
    # Where f32 probabilities would be 0 and 1, and a clipped loss without a gradient.
    ("mcxent", "softmax-from-logits", extreme, one_hot[:2], from_logits, False),
    ("xent", "sigmoid-from-logits", extreme, several[:2], binary_from_logits, False),
    ("mcxent", "softmax", x, smooth, weighted(lambda t, y: -t * tf.math.log(y), False), True),
    ("xent", "sigmoid", x, several, weighted(lambda t, y: -t * tf.math.log(y) - (1 - t) * tf.math.log(1 - y), True), True),
    ("mse", "identity", x, numbers, weighted(lambda t, y: (t - y) ** 2, True), True),
    ("mae", "identity", x, numbers, weighted(lambda t, y: tf.abs(t - y), True), True),
    ("hinge", "identity", x, signs, weighted(lambda t, y: tf.nn.relu(1 - t * y), True), True),
    ("kl_divergence", "softmax", x, smooth, weighted(lambda t, y: t * tf.math.log(t / y), False), True),
    ("cosine_proximity", "identity", x, numbers, weighted(cosine_parts, False), True),
]
ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid}


def run(loss, activation, x, t, f, has_weights):
    value = tf.constant(np.asarray(x), tf.float64)
    dloss = np.linspace(0.5, 1.5, len(x))
    with tf.GradientTape() as tape:
        tape.watch(value)
        losses = f(tf.constant(t, tf.float64), ACTIVATIONS.get(activation, identity)(value))
        total = tf.reduce_sum(losses * dloss)
    return {
        "loss": loss,
        "activation": activation.split("-")[0],
        "weights": WEIGHTS if has_weights else [],
        "x": np.asarray(x, np.float32).ravel().tolist(),
        "targets": t.ravel().tolist(),
        "dloss": dloss.tolist(),
        "losses": losses.numpy().tolist(),
        "gradient": tape.gradient(total, value).numpy().ravel().tolist(),
    }


json.dump(
    {"keras": keras.__version__, "tensorflow": tf.__version__, "columns": COLUMNS, "cases": [run(*case) for case in cases]},
    sys.stdout,
)
