"""Fine-tuning of the last block of a small MobileNetV2: the golden of tests/finetune.rs.

    pip install tensorflow-cpu keras numpy && python tests/reference/mobilenet_block.py > tests/reference/mobilenet_block.json

A stem, two inverted residuals (the second with its residual), a last convolution, pooling and a softmax, in Keras 3 and f64. Stem and first
block are frozen. Ten updates on two batches in turn, with the batch norms of the unfrozen part on their stored statistics ("frozen") or on those of
the batch ("train", momentum 0.9; the variance that is stored is the one that is divided by, not the unbiased one).
Gamma and beta are trained in both.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

keras.config.set_floatx("float64")
L = keras.layers
SIDE, CLASSES, ROWS, BATCH, STEPS, EPSILON, MOMENTUM = 12, 4, 16, 8, 10, 1e-3, 0.9
rng = np.random.default_rng(29)
labels = np.arange(ROWS) % CLASSES
# Whole numbers keep the file small; each class has its own tone.
pixels = np.clip(rng.normal(128, 40, (ROWS, SIDE, SIDE, 3)) + labels[:, None, None, None] * [[[[12, -9, 5]]]], 0, 255)
pixels = pixels.astype(np.uint8)
images = (pixels / 128.0 - 1.0).astype(np.float32).astype(np.float64)
targets = np.eye(CLASSES)[labels]


def net(batch_norm):
    """`batch_norm`: whether unfrozen ones use the statistics of the batch."""

    def conv(x, name, filters, size=1, stride=1, frozen=False):
        layer = L.Conv2D(filters, size, stride, "same", use_bias=False, name=name, trainable=not frozen)
        return norm(layer(x), name, frozen)

    def depthwise(x, name, stride, frozen):
        layer = L.DepthwiseConv2D(3, stride, "same", use_bias=False, name=name, trainable=not frozen)
        return L.ReLU(6)(norm(layer(x), name, frozen))

    def norm(x, name, frozen):
        layer = L.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=name + "_bn", trainable=not frozen)
        return layer(x, training=batch_norm and not frozen)

    def block(x, name, expanded, filters, stride, frozen):
        y = L.ReLU(6)(conv(x, name + "_expand", expanded, frozen=frozen))
        y = depthwise(y, name + "_depthwise", stride, frozen)
        y = conv(y, name + "_project", filters, frozen=frozen)
        return L.Add()([x, y]) if stride == 1 and filters == x.shape[-1] else y

    x = inputs = L.Input((SIDE, SIDE, 3))
    x = L.ReLU(6)(conv(x, "stem", 8, 3, 2, frozen=True))
    x = block(x, "block1", 16, 12, 2, frozen=True)
    x = block(x, "block2", 20, 12, 1, frozen=False)
    x = L.ReLU(6)(conv(x, "last", 16))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, L.Dense(CLASSES, activation="softmax", name="predictions")(x))


NAMES = {"kernel": "weight", "bias": "bias", "gamma": "gamma", "beta": "beta", "moving_mean": "mean", "moving_variance": "variance"}


def variables(model, trained_only=False):
    """Weights by our names, convolutions as [kh, kw, c, m], depthwise ones as [kh, kw, c]."""
    found = {}
    for layer in model.layers:
        for v in layer.weights if layer.trainable or not trained_only else []:
            found[f"{layer.name}.{NAMES[v.name]}"] = v
    return found


def draw(name, shape):
    if name.endswith("weight"):
        fan_in = shape[0] * shape[1] * (shape[2] if shape[-1] != 1 else 1) if len(shape) == 4 else shape[0]
        return rng.standard_normal(shape) * np.sqrt(2 / fan_in)
    if name.endswith(("gamma", "variance")):
        return rng.uniform(0.7, 1.4, shape)
    return rng.standard_normal(shape) * 0.2


start = {n: draw(n, v.shape).astype(np.float32) for n, v in variables(net(False)).items()}


def rounded(x):
    # Nine digits tell every f32 apart.
    return [float(f"{v:.9g}") for v in np.asarray(x, np.float32).ravel()]


def run(batch_norm, optimizer):
    model = net(batch_norm)
    for name, v in variables(model).items():
        v.assign(start[name].astype(np.float64))
    losses = []
    for step in range(STEPS):
        rows = [(step * BATCH + i) % ROWS for i in range(BATCH)]
        with tf.GradientTape() as tape:
            y = model(images[rows])
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(targets[rows], y))
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, [w.value for w in weights]), weights)
        losses.append(float(loss))
    for name, v in variables(model, trained_only=True).items():
        statistic = name.endswith(("mean", "variance"))
        assert np.array_equal(v.numpy(), start[name].astype(np.float64)) == (statistic and not batch_norm), name
    final = {n: rounded(v.numpy()) for n, v in variables(model, trained_only=True).items()}
    for name, v in variables(model).items():
        if name not in final:
            assert np.array_equal(v.numpy(), start[name].astype(np.float64)), name
    return {"losses": losses, "parameters": final}


def nesterovs():
    return keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)


def adam():
    return keras.optimizers.Adam(0.005, epsilon=1e-4)


runs = [
    ({"type": "nesterovs", "learningRate": 0.05, "momentum": 0.9}, nesterovs),
    ({"type": "adam", "learningRate": 0.005, "epsilon": 1e-4}, adam),
]
json.dump(
    {
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "epsilon": EPSILON,
        "momentum": MOMENTUM,
        "batch": BATCH,
        "labels": labels.tolist(),
        "pixels": pixels.ravel().tolist(),
        "start": {n: {"shape": [d for d in v.shape if len(v.shape) != 4 or d != 1 or "depthwise" not in n], "values": rounded(v)} for n, v in start.items()},
        "runs": [
            {"updater": u, "batchNorm": mode, **run(mode == "train", make())}
            for u, make in runs
            for mode in ["frozen", "train"]
        ],
    },
    sys.stdout,
)
