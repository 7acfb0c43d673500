"""Layers and vertices of the builder, with the results that Keras gives.

    layers.py > layers.json

Each case has the layer or vertex as the API spells it, inputs, weights in the project's forms, and the result, all NHWC. Inputs and
weights are eighths, which need few digits. Needs keras and tensorflow.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

random = np.random.default_rng(7)
cases = []


def eighths(*shape, low=-16, high=16):
    return (random.integers(low, high, size=shape, endpoint=True) / 8).astype("float32")


def tensor(x):
    x = np.asarray(x, "float32")
    return {"shape": list(x.shape), "data": [float(f"{v:.7g}") for v in x.flatten()]}


def case(name, kind, spec, inputs, result, weights=None, turns=True):
    """`turns`: in NCHW, with images and image results turned, the result is the same."""
    cases.append(
        {
            "name": name,
            kind: spec,
            "inputs": [tensor(x) for x in inputs],
            "weights": {key: tensor(w) for key, w in (weights or {}).items()},
            "result": tensor(result),
            "turns": turns and all(np.ndim(x) == 4 for x in inputs),
        }
    )


ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": keras.activations.relu,
    "relu6": keras.activations.relu6,
    "leakyrelu": lambda x: keras.activations.leaky_relu(x, negative_slope=0.01),
    "elu": keras.activations.elu,
    "selu": keras.activations.selu,
    "gelu": lambda x: keras.activations.gelu(x, approximate=False),
    "sigmoid": keras.activations.sigmoid,
    # Keras 3 has a slope of 1/6; Keras 2 and Deeplearning4j have this one.
    "hardsigmoid": lambda x: keras.ops.clip(0.2 * x + 0.5, 0, 1),
    "tanh": keras.activations.tanh,
    "hardtanh": keras.activations.hard_tanh,
    "softmax": keras.activations.softmax,
    "softplus": keras.activations.softplus,
    "softsign": keras.activations.softsign,
    "swish": keras.activations.silu,
    "hardswish": keras.activations.hard_silu,
    "mish": keras.activations.mish,
}


def activations():
    for name, function in ACTIVATIONS.items():
        x = eighths(2, 9, low=-40, high=40)
        case(f"activation {name}", "layer", {"type": "activation", "activation": name}, [x], function(x))
    x = eighths(2, 2, 6, 3)
    softmax = {"type": "activation", "activation": "softmax"}
    case("softmax of an image", "layer", softmax, [x], keras.activations.softmax(x))
    x, w, b = eighths(2, 3), eighths(3, 4), eighths(4)
    dense = keras.layers.Dense(4, activation="silu")
    dense.build(x.shape)
    dense.set_weights([w, b])
    case("dense", "layer", {"type": "dense", "nOut": 4, "nIn": 3, "activation": "swish"}, [x], dense(x), {"weight": w, "bias": b})
    case("dense without bias", "layer", {"type": "dense", "nOut": 4, "hasBias": False}, [x], x @ w, {"weight": w})
    x, w = eighths(2, 2, 3, 2), eighths(12, 2)
    flat = {"type": "dense", "nOut": 2, "hasBias": False}
    case("dense of an image", "layer", flat, [x], x.reshape(2, 12) @ w, {"weight": w}, turns=False)
    x, y, w = eighths(2, 2), eighths(2, 3), eighths(5, 2)
    case("dense of two", "layer", flat, [x, y], np.concatenate([x, y], 1) @ w, {"weight": w})
    output = {"type": "output", "nOut": 2, "hasBias": False, "loss": "negativeloglikelihood"}
    case("output", "layer", output, [x], keras.activations.softmax(x @ w[:2]), {"weight": w[:2]})


def padded(x, padding):
    if isinstance(padding, str):
        return x, padding
    top, left, bottom, right = padding if isinstance(padding, list) else [padding] * 4
    return np.pad(x, [(0, 0), (top, bottom), (left, right), (0, 0)]), "valid"


def convolution(name, spec, x, activation=None):
    m, (kh, kw) = spec["nOut"], np.broadcast_to(spec["kernelSize"], 2)
    w, b = eighths(kh, kw, x.shape[3] // spec.get("groups", 1), m), eighths(m)
    image, padding = padded(x, spec.get("padding", "valid"))
    layer = keras.layers.Conv2D(
        m,
        (kh, kw),
        strides=spec.get("stride", 1),
        dilation_rate=spec.get("dilation", 1),
        groups=spec.get("groups", 1),
        padding=padding,
        activation=activation,
    )
    layer.build(image.shape)
    layer.set_weights([w, b])
    case(name, "layer", {"type": "conv2d", **spec}, [x], layer(image), {"weight": w, "bias": b})


def convolutions():
    x = eighths(2, 5, 6, 3)
    convolution("convolution", {"nOut": 2, "kernelSize": [2, 3]}, x)
    convolution("convolution, same, stride 2", {"nOut": 2, "kernelSize": 3, "stride": 2, "padding": "same"}, x)
    # A row more is padded below than above.
    convolution("convolution, same, even", {"nOut": 2, "kernelSize": [2, 4], "padding": "same"}, x)
    convolution("convolution, dilated", {"nOut": 2, "kernelSize": 2, "dilation": [3, 2], "padding": "same"}, x)
    convolution("convolution, groups", {"nOut": 6, "kernelSize": 2, "groups": 3}, x)
    convolution("convolution, padded", {"nOut": 2, "kernelSize": 3, "stride": [2, 1], "padding": [0, 1, 2, 0]}, x)
    convolution("convolution, padded evenly", {"nOut": 1, "kernelSize": 3, "padding": 2}, x)
    convolution("convolution, gelu", {"nOut": 2, "kernelSize": 1, "activation": "gelu"}, x, "gelu")
    convolution("convolution, softmax", {"nOut": 3, "kernelSize": 1, "activation": "softmax"}, x, "softmax")

    for multiplier, spec in [
        (1, {"kernelSize": 3, "padding": "same", "stride": 2}),
        (1, {"kernelSize": [2, 3], "dilation": 2, "nOut": 3, "activation": "relu"}),
        (2, {"kernelSize": 2, "depthMultiplier": 2, "nOut": 6, "activation": "tanh"}),
    ]:
        kh, kw = np.broadcast_to(spec["kernelSize"], 2)
        w, b = eighths(kh, kw, 3, multiplier), eighths(3 * multiplier)
        settings = {
            "strides": spec.get("stride", 1),
            "dilation_rate": spec.get("dilation", 1),
            "padding": spec.get("padding", "valid"),
            "depth_multiplier": multiplier,
        }
        layer = keras.layers.DepthwiseConv2D((kh, kw), activation=spec.get("activation"), **settings)
        layer.build(x.shape)
        layer.set_weights([w, b])
        ours = w[..., 0] if multiplier == 1 else w.reshape(kh, kw, 1, -1)
        name = f"depthwise {multiplier}, {spec['kernelSize']}"
        case(name, "layer", {"type": "depthwiseConv2d", **spec}, [x], layer(x), {"weight": ours, "bias": b})

        p, b = eighths(1, 1, 3 * multiplier, 4), eighths(4)
        layer = keras.layers.SeparableConv2D(4, (kh, kw), activation=spec.get("activation"), **settings)
        layer.build(x.shape)
        layer.set_weights([w, p, b])
        weights = {"depthwise_weight": ours, "pointwise_weight": p, "bias": b}
        spec = {"type": "separableConv2d", **spec, "nOut": 4, "nIn": 3}
        case(f"separable {multiplier}, {spec['kernelSize']}", "layer", spec, [x], layer(x), weights)


def normalizations():
    for x in (eighths(2, 5, 6, 3), eighths(4, 3)):
        gamma, beta, mean, variance = eighths(3), eighths(3), eighths(3), eighths(3, low=1)
        layer = keras.layers.BatchNormalization(epsilon=0.01)
        layer.build(x.shape)
        layer.set_weights([gamma, beta, mean, variance])
        weights = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
        spec = {"type": "batchNorm", "epsilon": 0.01, "nIn": 3}
        case(f"batch norm of {x.ndim}", "layer", spec, [x], layer(x, training=False), weights)
        layer = keras.layers.LayerNormalization(epsilon=0.01)
        layer.build(x.shape)
        layer.set_weights([gamma, beta])
        spec = {"type": "layerNorm", "epsilon": 0.01}
        case(f"layer norm of {x.ndim}", "layer", spec, [x], layer(x), {"gamma": gamma, "beta": beta})


def poolings():
    x = eighths(2, 5, 6, 3)
    for kind, keras_kind in [("maxPool", keras.layers.MaxPooling2D), ("avgPool", keras.layers.AveragePooling2D)]:
        for padding in ("valid", "same"):
            for kernel, stride in [(2, None), ([3, 2], [2, 1])]:
                spec = {"type": kind, "kernelSize": kernel, "padding": padding}
                if stride:
                    spec["stride"] = stride
                result = keras_kind(kernel, strides=stride, padding=padding)(x)
                case(f"{kind} {padding} {kernel}", "layer", spec, [x], result)
    for pooling, keras_pooling in [("avg", keras.layers.GlobalAveragePooling2D), ("max", keras.layers.GlobalMaxPooling2D)]:
        case(f"global {pooling}", "layer", {"type": "globalPool", "pooling": pooling}, [x], keras_pooling()(x))
    case("flatten", "layer", {"type": "flatten"}, [x], keras.layers.Flatten()(x), turns=False)
    case("dropout", "layer", {"type": "dropout", "dropout": 0.5}, [x], keras.layers.Dropout(0.5)(x, training=False))


def vertices():
    image = lambda: eighths(2, 5, 6, 3)
    a, b, c = image(), image(), image()
    many = {
        "add": keras.layers.Add(),
        "multiply": keras.layers.Multiply(),
        "average": keras.layers.Average(),
        "max": keras.layers.Maximum(),
        "merge": keras.layers.Concatenate(),
    }
    for name, layer in many.items():
        case(f"{name} of 3", "vertex", {"type": name}, [a, b, c], layer([a, b, c]))
        rows = [eighths(2, 4), eighths(2, 4)]
        case(f"{name} of rows", "vertex", {"type": name}, rows, layer(rows))
    case("subtract", "vertex", {"type": "subtract"}, [a, b], keras.layers.Subtract()([a, b]))
    squeezed = eighths(2, 1, 1, 3)
    case("squeeze and excite", "vertex", {"type": "multiply"}, [a, squeezed], keras.layers.Multiply()([a, squeezed]))
    case("merge rows of pixels", "vertex", {"type": "merge", "axis": 2}, [a, b], np.concatenate([a, b], 2), turns=False)
    case("subset", "vertex", {"type": "subset", "from": 1, "to": 2}, [a], a[..., 1:3])
    x = eighths(2, 7)
    case("subset of rows", "vertex", {"type": "subset", "from": 2, "to": 2}, [x], x[:, 2:3])
    case("scale", "vertex", {"type": "scale", "factor": -0.25}, [a], keras.layers.Rescaling(-0.25)(a))
    case("shift", "vertex", {"type": "shift", "by": 1.5}, [a], keras.layers.Rescaling(1, 1.5)(a))
    normalize = {"type": "l2Normalize"}
    case("l2 norm", "vertex", normalize, [a], keras.layers.UnitNormalization(axis=[1, 2, 3])(a))
    case("l2 norm of rows", "vertex", normalize, [x], keras.layers.UnitNormalization()(x))
    reshape = {"type": "reshape", "shape": [-1, 9]}
    case("reshape", "vertex", reshape, [a], keras.layers.Reshape((-1, 9))(a), turns=False)


def main():
    for write in (activations, convolutions, normalizations, poolings, vertices):
        write()
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    sys.stdout.write(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
