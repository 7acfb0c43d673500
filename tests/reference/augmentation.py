"""Writes augmentation.json: views of small images by Pillow, SciPy and colorsys.

pip install pillow numpy scipy; python augmentation.py
Written with Pillow 13.0, numpy 2.4, SciPy 1.17.

Each case has a view as regraft spells it, the image it starts from, and the image that comes out. Maps are composed here from
3×3 matrices; Pillow's `transform` leaves out what lies outside of the image (`pad`), SciPy's `reflect` mirrors it (`stretch`).
"""
import colorsys
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage, stats

rng = np.random.default_rng(22)
BILINEAR = Image.Resampling.BILINEAR


def picture(width, height):
    """A gradient, hard edges, and noise in a corner."""
    y, x = np.mgrid[0:height, 0:width]
    data = np.stack([x * 255 / (width - 1), y * 255 / (height - 1), (x + 2 * y) * 7 % 256], -1)
    data[(x // 4 + y // 3) % 4 == 0] = [250, 30, 90]
    corner = (x > width * 2 // 3) & (y > height // 2)
    return np.where(corner[..., None], rng.integers(0, 256, data.shape), data).astype(np.uint8)


def translation(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def scaling(x, y):
    return np.diag([x, y, 1.0])


def inverse_map(width, height, crop, flips, degrees, zoom, shift):
    """From a place in the view to the place in the plain image: the inverse of what moves the picture, step by step."""
    a = math.radians(degrees)
    turn = np.array([[math.cos(a), math.sin(a), 0], [-math.sin(a), math.cos(a), 0], [0, 0, 1]])  # counter-clockwise, y down
    to_centre, back = translation(-width / 2, -height / 2), translation(width / 2, height / 2)
    left, top, w, h = crop
    forward = scaling(1 / w, 1 / h) @ translation(-left * width, -top * height)
    forward = back @ scaling(*(-1 if f else 1 for f in flips)) @ to_centre @ forward
    forward = back @ scaling(zoom, zoom) @ turn @ to_centre @ forward
    return np.linalg.inv(translation(shift[0] * width, shift[1] * height) @ forward)


def pillow_view(data, matrix, width, height):
    image = Image.fromarray(data).transform((width, height), Image.Transform.AFFINE, matrix[:2].ravel(), BILINEAR)
    mask = Image.new("L", data.shape[1::-1], 255).transform((width, height), Image.Transform.AFFINE, matrix[:2].ravel(), BILINEAR)
    return np.asarray(image).astype(int), np.asarray(mask) == 255


def scipy_view(data, matrix, width, height):
    y, x = np.mgrid[0:height, 0:width] + 0.5
    at = np.einsum("ij,jhw->ihw", matrix[:2], np.stack([x, y, np.ones_like(x)])) - 0.5
    planes = [ndimage.map_coordinates(data[..., c].astype(np.float64), at[::-1], order=1, mode="reflect") for c in range(3)]
    return np.stack(planes, -1)


WHOLE = (0, 0, 1, 1)
VIEWS = {
    "rotated": dict(degrees=30), "turned back": dict(degrees=-163.5), "zoomed in": dict(zoom=1.6), "zoomed out": dict(zoom=0.6),
    "shifted": dict(shift=(0.3, -0.2)), "cropped": dict(crop=(0.25, 0.125, 0.5, 0.6)),
    "all": dict(crop=(0.1, 0.2, 0.7, 0.6), flips=(True, False), degrees=-25, zoom=1.2, shift=(-0.1, 0.15)),
    "upside down": dict(flips=(False, True), degrees=10, zoom=0.8),
    "far outside": dict(zoom=0.2, shift=(0.8, -0.9), degrees=50),
}
cases = []


def add(name, fit, source, expected, size, geometry=None, colour=None):
    cases.append({
        "name": name, "fit": fit, "width": source.shape[1], "height": source.shape[0], "image": source.tobytes().hex(),
        "size": {"width": size[0], "height": size[1]}, "geometry": geometry, "colour": colour,
        "expected": [round(float(v), 2) for v in np.asarray(expected).ravel()],
    })


def geometry_of(crop=WHOLE, flips=(False, False), degrees=0.0, zoom=1.0, shift=(0.0, 0.0)):
    return {"crop": crop, "flips": flips, "rotate": degrees, "zoom": zoom, "shift": shift}


for number, (name, view) in enumerate(VIEWS.items()):
    width, height = [(10, 10), (15, 10)][number % 2]
    data, geometry = picture(width, height), geometry_of(**view)
    matrix = inverse_map(width, height, geometry["crop"], geometry["flips"], geometry["rotate"], geometry["zoom"], geometry["shift"])
    source = data
    if geometry["zoom"] < 1:  # what is to be smaller is shrunk first, so that no pixel is lost
        sides = [round(side * geometry["zoom"]) for side in (width, height)]
        source = np.asarray(Image.fromarray(data).resize(sides, BILINEAR))
        matrix = scaling(sides[0] / width, sides[1] / height) @ matrix
    inside, shown = pillow_view(source, matrix, width, height)
    add(name, "pad", data, np.where(shown[..., None], inside, -1), (width, height), geometry)
    add(name, "stretch", data, scipy_view(source, matrix, width, height), (width, height), geometry)

# Pillow's own names for it, and a source that is shrunk on the way.
data = picture(10, 10)
add("rotate()", "pad", data, np.where((np.asarray(Image.new("L", (10, 10), 255).rotate(40, BILINEAR)) == 255)[..., None],
    np.asarray(Image.fromarray(data).rotate(40, BILINEAR)).astype(int), -1), (10, 10), geometry_of(degrees=40))
add("mirror()", "stretch", data, np.asarray(ImageOps.mirror(Image.fromarray(data))), (10, 10), geometry_of(flips=(True, False)))
add("flip()", "stretch", data, np.asarray(ImageOps.flip(Image.fromarray(data))), (10, 10), geometry_of(flips=(False, True)))
add("rotate(90)", "stretch", data, np.asarray(Image.fromarray(data).rotate(90)), (10, 10), geometry_of(degrees=90))
data = picture(61, 47)
small = np.asarray(Image.fromarray(data).resize((16, 12), BILINEAR))
add("shrunk, then moved", "stretch", data, scipy_view(small, inverse_map(16, 12, WHOLE, (True, False), 0, 1, (0.125, 0.25)), 16, 12),
    (16, 12), geometry_of(flips=(True, False), shift=(0.125, 0.25)))

data = picture(8, 6)
image = Image.fromarray(data)
plain = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
for name, enhance in [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)]:
    for factor in (0.0, 0.6, 1.5):
        add(f"{name} {factor}", "stretch", data, np.asarray(enhance(image).enhance(factor)), (8, 6), None, plain | {name: factor})
for turn in (0.1, -0.3, 0.5):
    hsv = [colorsys.rgb_to_hsv(*(p / 255)) for p in data.reshape(-1, 3)]
    turned = [[255 * v for v in colorsys.hsv_to_rgb((h + turn) % 1, s, v)] for h, s, v in hsv]
    add(f"hue {turn}", "stretch", data, turned, (8, 6), None, plain | {"hue": turn})
chain = image
for enhance, factor in ((ImageEnhance.Brightness, 0.8), (ImageEnhance.Contrast, 1.3), (ImageEnhance.Color, 0.5)):
    chain = enhance(chain).enhance(factor)
add("one after the other", "stretch", data, np.asarray(chain), (8, 6), None, {"brightness": 0.8, "contrast": 1.3, "saturation": 0.5, "hue": 0.0})

quantiles = [{"alpha": alpha, "at": at, "below": float(stats.beta.cdf(at, alpha, alpha))}
             for alpha in (0.01, 0.2, 0.4, 1.0, 3.5) for at in (0.001, 0.1, 0.35, 0.5, 0.9)]
golden = {"cases": cases, "beta": quantiles}
Path(__file__).with_name("augmentation.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(len(cases), "cases")
