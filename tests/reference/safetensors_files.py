"""Small safetensors files written by the Python package, and digests of what they hold.

Needs numpy, safetensors. Writes tests/data/safetensors/.
"""

import json
import numpy as np
from safetensors.numpy import save_file

import digest

FOLDER = digest.DATA / "safetensors"


def main():
    random = np.random.default_rng(3)
    # Ties, subnormals, overflow and not-a-number: where rounding to 16 bits goes wrong.
    edges = [0.0, -0.0, 1.0 + 2.0**-11, 1.0 + 3 * 2.0**-11, 2.0**-24, 2.0**-25, 1e-9, 65519.0, 65520.0, np.inf, np.nan]
    state = {
        "conv.weight": random.normal(size=(4, 3, 2, 2)).astype("float32"),
        "edges": np.array(edges, "float32"),
        "flag": np.array([[True], [False]]),
        "ids": np.array([-1, 1 << 40]),
        "index": np.array([1 << 30], "int32"),
        "none": np.zeros((0, 3), "float32"),
        "pixels": np.arange(250, 256, dtype="uint8"),
        "scalar": np.array(3.5, "float32"),
    }
    save_file(state, FOLDER / "f32.safetensors", metadata={"format": "pt"})
    with np.errstate(over="ignore"):
        half = {name: array.astype("float16") if array.dtype == "float32" else array for name, array in state.items()}
    save_file(half, FOLDER / "f16.safetensors", metadata={"format": "pt"})
    digest.write("safetensors/f32", by_place(state))
    digest.write("safetensors/f16", by_place(half))

    # numpy has no bfloat16, so this file is written by hand, as the format's description says.
    brain = (state["conv.weight"].view("uint32") >> 16).astype("<u2")
    double = random.normal(size=(2, 2))
    end = brain.nbytes + double.nbytes
    header = {
        "double": {"dtype": "F64", "shape": [2, 2], "data_offsets": [0, double.nbytes]},
        "brain": {"dtype": "BF16", "shape": list(brain.shape), "data_offsets": [double.nbytes, end]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (FOLDER / "wide.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + double.tobytes() + brain.tobytes())
    digest.write("safetensors/wide", [("double", double), ("brain", (brain.astype("uint32") << 16).view("float32"))])


def by_place(state):
    """Widest elements first, then by name; floats before integers of the same width."""
    rank = {"int64": 0, "float32": 1, "int32": 2, "float16": 3, "uint8": 4, "bool": 5}
    return sorted(state.items(), key=lambda item: (rank[item[1].dtype.name], item[0]))


if __name__ == "__main__":
    main()
