"""Writes preprocessing.safetensors: small images and what Pillow makes of them.

pip install pillow numpy safetensors; python preprocessing.py
Written with Pillow 12.3, numpy 2.4 (13.0 filters columns first where an image shrinks far more in height). Resize and CenterCrop are torchvision's functional.py on Pillow images, in two lines each.
"""
import hashlib
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "area": Image.Resampling.BOX}
rng = np.random.default_rng(20)


def picture(width, height, channels):
    """A gradient, hard black and white edges, and noise: what smooths, rings and aliases."""
    y, x = np.mgrid[0:height, 0:width]
    data = np.stack([(x * 255 / max(width - 1, 1)), (y * 255 / max(height - 1, 1)), (x + y) * 5 % 256, 255 - x % 7 * 40], -1)
    stripes = ((x // 3 + y // 4) % 2 * 255)[..., None].repeat(4, -1)
    noise = rng.integers(0, 256, data.shape)
    data = np.where((x > width * 2 // 3)[..., None], noise, np.where((y > height // 2)[..., None], stripes, data))
    return data[..., :channels].astype(np.uint8)


def on_white(image):
    if image.mode != "RGBA":
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def resize_short_side(image, short_side, resample):
    short, long = sorted(image.size)
    scaled = int(short_side * long / short)
    return image.resize((short_side, scaled) if image.width <= image.height else (scaled, short_side), resample)


def center_crop(image, width, height):
    left, top = int(round((image.width - width) / 2.0)), int(round((image.height - height) / 2.0))
    return image.crop((left, top, left + width, top + height))


def apply(image, size, fit, fraction, resample):
    width, height = size
    if fit == "stretch":
        return image.resize(size, resample)
    if fit == "pad":
        return ImageOps.pad(image, size, resample, color=(0, 0, 0))
    assert width == height
    return center_crop(resize_short_side(image, math.floor(width / fraction), resample), width, height)


def edge_on_a_centre(source, target):
    """Whether BOX has to decide a tie: then the last bit of a float tells, and no other implementation can follow."""
    return any(2 * x * source % target == 0 and 2 * x * source // target % 2 for x in range(1, target))


def has_ties(image, size, fit, fraction):
    if fit == "stretch":
        scaled = size
    elif fit == "pad":
        scaled = ImageOps.contain(image, size).size
    else:
        scaled = resize_short_side(image, math.floor(size[0] / fraction), Image.Resampling.NEAREST).size
    return any(edge_on_a_centre(a, b) for a, b in zip(image.size, scaled))


CASES = [
    ((61, 47, 3), (32, 32), "crop", 0.875), ((47, 61, 3), (32, 32), "crop", 0.875), ((13, 9, 3), (24, 24), "crop", 1.0),
    ((37, 53, 1), (21, 21), "crop", 0.875), ((41, 29, 4), (24, 24), "crop", 0.9), ((32, 32, 3), (28, 28), "crop", 0.875),
    ((150, 11, 3), (16, 16), "crop", 0.8), ((131, 97, 3), (16, 16), "crop", 0.875),
    ((61, 47, 3), (29, 29), "crop", 1.0), ((131, 97, 3), (15, 15), "crop", 15 / 19), ((41, 29, 4), (21, 21), "crop", 1.0),
    ((45, 31, 3), (20, 28), "stretch", 1.0), ((45, 31, 3), (45, 17), "stretch", 1.0), ((5, 3, 4), (23, 19), "stretch", 1.0),
    ((61, 22, 3), (24, 24), "pad", 1.0), ((22, 61, 1), (24, 31), "pad", 1.0), ((19, 20, 4), (33, 30), "pad", 1.0),
]
tensors, cases = {}, []
for (width, height, channels), size, fit, fraction in CASES:
    data = picture(width, height, channels)
    image = Image.fromarray(data[..., 0] if channels == 1 else data)
    tensors[f"{len(cases)}.image"] = data
    for name, resample in FILTERS.items():
        if name == "area" and has_ties(image, size, fit, fraction):
            print(f"case {len(cases)}: no area, it has ties")
            continue
        tensors[f"{len(cases)}.{name}"] = np.asarray(apply(on_white(image), size, fit, fraction, resample)).copy()
    cases.append({"size": {"width": size[0], "height": size[1]}, "fit": fit, "cropFraction": fraction})

value, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
every = np.stack([value, value, value, alpha], -1)
composited = np.asarray(on_white(Image.fromarray(every)))[..., 0]
metadata = {"cases": json.dumps(cases), "over_white_sha256": hashlib.sha256(composited.tobytes()).hexdigest()}
save_file(tensors, Path(__file__).with_name("preprocessing.safetensors"), metadata)
