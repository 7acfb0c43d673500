"""Writes grad_cam.json: heat maps of a small network by JAX.

pip install "jax[cpu]" numpy; python grad_cam.py
Written with JAX 0.10, numpy 2.4. Grad-CAM as in Selvaraju et al. 2017, equations 1 and 2, divided by the maximum.

A convolution with batch norm and relu (`first`), max pooling, another convolution with relu (`last`); both maps are averaged,
joined and read by a dense layer with softmax, so that the first map is read on a way around the last one.
"""
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, HEIGHT, CLASSES = 12, 10, 4
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
rng = np.random.default_rng(24)


def draw(*shape, scale=0.5):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


weights = {
    "conv1.weight": draw(3, 3, 3, 5), "conv1.bias": draw(5), "norm.gamma": 1 + draw(5, scale=0.2), "norm.beta": draw(5, scale=0.2),
    "norm.mean": draw(5), "norm.variance": np.abs(draw(5)) + np.float32(0.5),
    "conv2.weight": draw(3, 3, 5, 6), "conv2.bias": draw(6), "head.weight": draw(11, CLASSES), "head.bias": draw(CLASSES),
}
pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
image = jnp.asarray((pixels / 255 - MEAN) / STD, jnp.float32)[None]


def conv(x, w, b, padding):
    return jax.lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")) + b


def first(x, w):
    x = conv(x, w["conv1.weight"], w["conv1.bias"], "SAME")
    x = (x - w["norm.mean"]) / jnp.sqrt(w["norm.variance"] + 1e-3) * w["norm.gamma"] + w["norm.beta"]
    return jax.nn.relu(x)


def last(a, w):
    pooled = jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return jax.nn.relu(conv(pooled, w["conv2.weight"], w["conv2.bias"], "VALID"))


def scores(a, m, w):
    return (jnp.concatenate([m.mean((1, 2)), a.mean((1, 2))], 1) @ w["head.weight"] + w["head.bias"])[0]


def heat_map(values, gradient):
    cam = jax.nn.relu(jnp.einsum("hwc,c->hw", values[0], gradient[0].mean((0, 1))))
    cam = cam / jnp.max(cam) if jnp.max(cam) > 0 else cam
    return jax.image.resize(cam, (HEIGHT, WIDTH), "bilinear")


a = first(image, weights)
m = last(a, weights)
logits = scores(a, m, weights)
maps = []
for label in range(CLASSES):
    by_last = jax.grad(lambda m: scores(a, m, weights)[label])(m)
    by_first = jax.grad(lambda a: scores(a, last(a, weights), weights)[label])(a)
    for at, values, gradient in (("last", m, by_last), ("first", a, by_first)):
        cam = np.asarray(heat_map(values, gradient), np.float64)
        maps.append({"at": at, "label": f"class {label}", "map": [round(float(v), 6) for v in cam.ravel()]})
        print(at, label, cam.min(), cam.max())
golden = {
    "width": WIDTH, "height": HEIGHT, "pixels": pixels.ravel().tolist(), "best": f"class {int(jnp.argmax(logits))}",
    "weights": {name: {"shape": list(w.shape), "values": [float(v) for v in w.ravel()]} for name, w in weights.items()}, "maps": maps,
}
Path(__file__).with_name("grad_cam.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
