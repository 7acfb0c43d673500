"""Gradients and weights as penalties, norms and constraints leave them: the golden of tests/learning/regularization.rs.

    pip install tensorflow-cpu keras numpy && python tests/reference/regularization.py > tests/reference/regularization.json

TensorFlow's clipping and gradients of Keras regularizers, Keras constraints, all in f64; division by the norm in numpy.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

keras.config.set_floatx("float64")
rng = np.random.default_rng(17)


def draw(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def flat(x):
    return np.asarray(x, np.float64).ravel().tolist()


# Two layers with a weight and a bias each; the second has small gradients, and one that is all 0.
layers = [[draw(4, 3, scale=2), draw(3)], [draw(2, 2, 3, scale=0.05), np.zeros(3, np.float32)]]
wide = [[tf.constant(g, tf.float64) for g in layer] for layer in layers]


def norm(gs):
    return np.sqrt(sum(float(np.sum(np.square(g))) for g in gs))


def renormalized(g, n):
    # Deeplearning4j divides by 1e-5 where the norm is 0.
    return g / (n if n > 0 else 1e-5)


def clip_layer(threshold):
    return [tf.clip_by_global_norm(layer, threshold)[0] for layer in wide]


def clip_global(threshold):
    clipped = tf.clip_by_global_norm([g for layer in wide for g in layer], threshold)[0]
    return [clipped[:2], clipped[2:]]


def each(f):
    return [[f(g) for g in layer] for layer in wide]


normalizations = [
    ({"type": "renormalize_l2_per_layer"}, [[renormalized(g, norm(layer)) for g in layer] for layer in wide]),
    ({"type": "renormalize_l2_per_param_type"}, each(lambda g: renormalized(g, norm([g])))),
    ({"type": "clip_elementwise_absolute_value", "threshold": 0.5}, each(lambda g: tf.clip_by_value(g, -0.5, 0.5))),
    ({"type": "clip_l2_per_layer", "threshold": 0.75}, clip_layer(0.75)),
    ({"type": "clip_l2_per_layer", "threshold": 100.0}, clip_layer(100.0)),
    ({"type": "clip_l2_per_param_type", "threshold": 0.75}, each(lambda g: tf.clip_by_norm(g, 0.75))),
    ({"type": "clip_l2_global", "threshold": 0.75}, clip_global(0.75)),
    ({"type": "clip_l2_global", "threshold": 100.0}, clip_global(100.0)),
]

w = draw(4, 3)
w[1, 1] = 0


def penalty_gradient(l1, l2):
    # Keras's L2(l) is l times the sum of squares, ours half of it.
    value = tf.Variable(w.astype(np.float64))
    with tf.GradientTape() as tape:
        loss = keras.regularizers.L1L2(l1, l2 / 2)(value)
    return flat(tape.gradient(loss, value))


weights = {
    "dense": (draw(5, 3), 0),
    "conv": (draw(3, 2, 4, 3), [0, 1, 2]),
    "depthwise": (draw(3, 3, 4), [0, 1]),
    "vector": (draw(7), 0),
}
c = keras.constraints
constraints = [
    ({"type": "max_norm", "max": 1.5}, lambda axis: c.MaxNorm(1.5, axis=axis)),
    ({"type": "min_max_norm", "min": 2.0, "max": 2.5}, lambda axis: c.MinMaxNorm(2.0, 2.5, axis=axis)),
    ({"type": "min_max_norm", "min": 0.5, "max": 1.0, "rate": 0.25}, lambda axis: c.MinMaxNorm(0.5, 1.0, 0.25, axis=axis)),
    ({"type": "unit_norm"}, lambda axis: c.UnitNorm(axis=axis)),
    ({"type": "non_negative"}, lambda axis: c.NonNeg()),
]

json.dump(
    {
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "layers": [[{"shape": list(g.shape), "values": flat(g)} for g in layer] for layer in layers],
        "normalizations": [
            {"normalization": n, "gradients": [[flat(g) for g in layer] for layer in result]}
            for n, result in normalizations
        ],
        "w": flat(w),
        "penalties": [
            {"l1": l1, "l2": l2, "gradient": penalty_gradient(l1, l2)} for l1, l2 in [(0.5, 0), (0, 0.25), (0.125, 0.5)]
        ],
        "weights": {name: {"shape": list(v.shape), "values": flat(v)} for name, (v, _) in weights.items()},
        "constraints": [
            {"constraint": j, "weights": {name: flat(f(axis)(tf.constant(v, tf.float64))) for name, (v, axis) in weights.items()}}
            for j, f in constraints
        ],
    },
    sys.stdout,
)
