"""Losses and final weights of a small head trained by JAX: the golden of tests/training.rs.

    pip install "jax[cpu]==0.7.*" numpy && python tests/reference/training.py > tests/reference/training.json

A dense relu layer and a dense softmax layer, 20 steps from the same weights, for SGD, Nesterov momentum (in the form
v' = mu*v - lr*g; w' = w + mu*v' - lr*g) and Adam with the bias correction in the step size. Gradients are JAX's, in f32.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

ROWS, FEATURES, HIDDEN, CLASSES, STEPS, BATCH = 24, 13, 7, 3, 20, 8
rng = np.random.default_rng(5)


def draw(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


x = draw(ROWS, FEATURES)
labels = rng.integers(0, CLASSES, ROWS)
start = {
    "hidden.weight": draw(FEATURES, HIDDEN, scale=0.4),
    "hidden.bias": draw(HIDDEN, scale=0.1),
    "predictions.weight": draw(HIDDEN, CLASSES, scale=0.4),
    "predictions.bias": draw(CLASSES, scale=0.1),
}


def loss(w, x, t):
    h = jax.nn.relu(x @ w["hidden.weight"] + w["hidden.bias"])
    logits = h @ w["predictions.weight"] + w["predictions.bias"]
    return -jnp.mean(jnp.sum(t * jax.nn.log_softmax(logits), axis=1))


def sgd(w, g, s, t, lr=0.1):
    return w - lr * g, s


def nesterovs(w, g, s, t, lr=0.05, mu=0.9):
    v = mu * s.get("v", jnp.zeros_like(w)) - lr * g
    return w + mu * v - lr * g, {"v": v}


def adam(w, g, s, t, lr=0.01, b1=0.9, b2=0.999, eps=1e-8):
    m = b1 * s.get("m", jnp.zeros_like(w)) + (1 - b1) * g
    v = b2 * s.get("v", jnp.zeros_like(w)) + (1 - b2) * g * g
    step = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
    return w - step * m / (jnp.sqrt(v) + eps), {"m": m, "v": v}


def run(update):
    w = {k: jnp.asarray(v) for k, v in start.items()}
    state = {k: {} for k in w}
    losses = []
    targets = jax.nn.one_hot(labels, CLASSES, dtype=jnp.float32)
    for step in range(STEPS):
        rows = [(step * BATCH + i) % ROWS for i in range(BATCH)]
        value, g = jax.value_and_grad(loss)(w, x[jnp.asarray(rows)], targets[jnp.asarray(rows)])
        losses.append(float(value))
        for k in w:
            w[k], state[k] = update(w[k], g[k], state[k], step + 1)
    return {"losses": losses, "weights": {k: np.asarray(v).ravel().tolist() for k, v in w.items()}}


json.dump(
    {
        "jax": jax.__version__,
        "x": x.ravel().tolist(),
        "labels": labels.tolist(),
        "start": {k: v.ravel().tolist() for k, v in start.items()},
        "sgd": run(sgd),
        "nesterovs": run(nesterovs),
        "adam": run(adam),
    },
    sys.stdout,
)
