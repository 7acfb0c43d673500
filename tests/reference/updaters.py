"""Weights after each of 20 updates by every updater: the golden of tests/learning/updaters.rs.

    pip install tensorflow-cpu keras numpy && python tests/reference/updaters.py > tests/reference/updaters.json

Keras 3 in f64 wherever it has the formula; AdaGrad in Deeplearning4j's form and scheduled momentum are written out in numpy.
Also the values of schedules at some iterations: Keras's where it has the schedule, else the formula in numpy.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

keras.config.set_floatx("float64")
STEPS, SIZE = 20, 6
rng = np.random.default_rng(11)
start = rng.standard_normal(SIZE).astype(np.float32)
# Of different sizes, and once exactly 0.
gradients = (rng.standard_normal((STEPS, SIZE)) * np.array([1, 0.1, 3, 1, 0.01, 1])).astype(np.float32)
gradients[:, 3] = 0
gradients[5:, 5] = 0


def keras_run(optimizer):
    w = keras.Variable(start.astype(np.float64))
    rows = []
    for g in gradients:
        optimizer.apply([tf.constant(g, tf.float64)], [w])
        rows.append(np.asarray(w).tolist())
    return rows


def numpy_run(update):
    w, state, rows = start.astype(np.float64), {}, []
    for i, g in enumerate(gradients.astype(np.float64)):
        w = w + update(w, g, state, i)
        rows.append(w.tolist())
    return rows


def adagrad(rate, epsilon):
    def update(w, g, state, i):
        state["s"] = state.get("s", epsilon) + g**2
        return -rate * g / (np.sqrt(state["s"]) + epsilon)

    return update


def nesterovs(rate, momentum):
    def update(w, g, state, i):
        state["v"] = momentum(i) * state.get("v", 0.0) - rate(i) * g
        return momentum(i) * state["v"] - rate(i) * g

    return update


o = keras.optimizers
ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
OTHER = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}
other = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}
updaters = [
    ({"type": "sgd"}, keras_run(o.SGD(1e-3))),
    ({"type": "sgd", "learningRate": 0.1}, keras_run(o.SGD(0.1))),
    ({"type": "nesterovs"}, keras_run(o.SGD(0.1, momentum=0.9, nesterov=True))),
    ({"type": "nesterovs", "learningRate": 0.02, "momentum": 0.5}, keras_run(o.SGD(0.02, momentum=0.5, nesterov=True))),
    (
        {
            "type": "nesterovs",
            "learningRate": {"type": "exponential", "initial": 0.1, "gamma": 0.9},
            "momentum": {"type": "map", "values": {"0": 0.5, "8": 0.9}},
        },
        numpy_run(nesterovs(lambda i: 0.1 * 0.9**i, lambda i: 0.5 if i < 8 else 0.9)),
    ),
    ({"type": "adam"}, keras_run(o.Adam(1e-3, **ADAM))),
    ({"type": "adam", "learningRate": 0.1, **other}, keras_run(o.Adam(0.1, **OTHER))),
    ({"type": "amsgrad"}, keras_run(o.Adam(1e-3, amsgrad=True, **ADAM))),
    ({"type": "amsgrad", "learningRate": 0.1, **other}, keras_run(o.Adam(0.1, amsgrad=True, **OTHER))),
    ({"type": "adamax"}, keras_run(o.Adamax(1e-3, **ADAM))),
    ({"type": "adamax", "learningRate": 0.1, **other}, keras_run(o.Adamax(0.1, **OTHER))),
    ({"type": "nadam"}, keras_run(o.Nadam(1e-3, **ADAM))),
    ({"type": "nadam", "learningRate": 0.1, **other}, keras_run(o.Nadam(0.1, **OTHER))),
    ({"type": "adamw"}, keras_run(o.AdamW(1e-3, weight_decay=0.01, **ADAM))),
    ({"type": "adamw", "learningRate": 0.1, "weightDecay": 0.5, **other}, keras_run(o.AdamW(0.1, weight_decay=0.5, **OTHER))),
    ({"type": "adagrad"}, numpy_run(adagrad(0.1, 1e-6))),
    ({"type": "adagrad", "learningRate": 0.3, "epsilon": 0.1}, numpy_run(adagrad(0.3, 0.1))),
    ({"type": "rmsprop"}, keras_run(o.RMSprop(0.1, rho=0.95, epsilon=1e-8))),
    ({"type": "rmsprop", "learningRate": 0.01, "decay": 0.8, "epsilon": 0.1}, keras_run(o.RMSprop(0.01, rho=0.8, epsilon=0.1))),
    ({"type": "adadelta"}, keras_run(o.Adadelta(1.0, rho=0.95, epsilon=1e-6))),
    ({"type": "adadelta", "rho": 0.5, "epsilon": 0.01}, keras_run(o.Adadelta(1.0, rho=0.5, epsilon=0.01))),
    ({"type": "noop"}, [start.astype(np.float64).tolist()] * STEPS),
]

s = keras.optimizers.schedules
AT = [0, 1, 2, 3, 7, 9, 10, 11, 19, 20, 25, 100]


def cycle(i, initial=0.01, top=0.1, length=20, anneal=5, decay=0.5):
    # Deeplearning4j's CycleSchedule, whose step is a whole number.
    at, half = i % length, (length - anneal) // 2
    if at < half:
        return initial + (top - initial) / half * at
    if at < 2 * half:
        return top - (top - initial) / half * (at - half)
    return initial * decay ** (anneal - (length - at))


schedules = [
    ({"type": "fixed", "value": 0.25}, lambda i: 0.25),
    ({"type": "step", "initial": 0.1, "decayRate": 0.5, "step": 3}, s.ExponentialDecay(0.1, 3, 0.5, staircase=True)),
    ({"type": "exponential", "initial": 0.1, "gamma": 0.9}, s.ExponentialDecay(0.1, 1, 0.9)),
    ({"type": "inverse", "initial": 0.1, "gamma": 0.3, "power": 1}, s.InverseTimeDecay(0.1, 1, 0.3)),
    ({"type": "inverse", "initial": 0.1, "gamma": 0.3, "power": 0.75}, lambda i: 0.1 / (1 + 0.3 * i) ** 0.75),
    ({"type": "poly", "initial": 0.1, "power": 2, "max": 20}, s.PolynomialDecay(0.1, 20, 0.0, 2.0)),
    ({"type": "poly", "initial": 0.1, "power": 0.5, "max": 20}, s.PolynomialDecay(0.1, 20, 0.0, 0.5)),
    ({"type": "sigmoid", "initial": 0.1, "gamma": -0.5, "step": 10}, lambda i: 0.1 / (1 + np.exp(0.5 * (i - 10)))),
    ({"type": "cosine", "initial": 0.1, "length": 20}, s.CosineDecay(0.1, 20)),
    ({"type": "cosine", "initial": 0.1, "final": 0.02, "length": 20}, s.CosineDecay(0.1, 20, alpha=0.2)),
    # Keras's boundaries are the last steps of the value before.
    ({"type": "map", "values": {"0": 0.1, "3": 0.05, "10": 0.01}}, s.PiecewiseConstantDecay([2, 9], [0.1, 0.05, 0.01])),
    (
        {"type": "ramp", "length": 4, "then": {"type": "exponential", "initial": 0.1, "gamma": 0.9}},
        lambda i: 0.1 * 0.9**i * min((i + 1) / 4, 1),
    ),
    ({"type": "cycle", "initial": 0.01, "max": 0.1, "length": 20, "annealLength": 5, "annealDecay": 0.5}, cycle),
]

json.dump(
    {
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "start": start.tolist(),
        "gradients": gradients.tolist(),
        "updaters": [{"updater": u, "weights": w} for u, w in updaters],
        "at": AT,
        "schedules": [{"schedule": j, "values": [float(f(i)) for i in AT]} for j, f in schedules],
    },
    sys.stdout,
)
