"""Digests of the real checkpoints in assets/, read with Python's own pickle module and numpy (no PyTorch).

Run `scripts/assets` first. Needs numpy. Writes tests/data/pytorch/*.json.
"""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np

import digest

ASSETS = Path(__file__).parent.parent.parent / "assets"
DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def view(storage, offset, size, stride, *_):
    """Stands for torch._utils._rebuild_tensor_v2; storages are bytearrays until they are filled."""
    return storage, offset, size, stride


class Legacy(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return view
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        return DTYPES[name]

    def persistent_load(self, pid):
        _, dtype, key, _, numel, _ = pid
        return self.storages.setdefault(key, {"dtype": np.dtype(dtype), "numel": numel})


def legacy(path):
    with open(path, "rb") as file:
        for _ in range(3):
            pickle.load(file)
        reader = Legacy(file)
        state = reader.load()
        for key in pickle.load(file):
            storage = reader.storages[key]
            numel = int.from_bytes(file.read(8), "little")
            assert numel == storage["numel"]
            storage["data"] = np.frombuffer(file.read(numel * storage["dtype"].itemsize), storage["dtype"])
        assert not file.read()
    tensors = []
    for name, (storage, offset, size, stride) in state.items():
        data = storage["data"][offset:]
        strides = [s * data.itemsize for s in stride]
        tensors.append((name, np.lib.stride_tricks.as_strided(data, size, strides)))
    return tensors


def arrays(path):
    with open(path, "rb") as file:
        state = pickle.load(file)
    return [(f"{name}.{i}", array) for name, pair in state.items() for i, array in enumerate(pair)]


if __name__ == "__main__":
    digest.write("pytorch/efficientnet_lite0", legacy(ASSETS / "efficientnet_lite0.pth"))
    digest.write("pytorch/mobilenet_v2", legacy(ASSETS / "mobilenet_v2.pth"))
    digest.write("pytorch/squeezenet1_1", arrays(ASSETS / "squeezenet1_1.pkl"))
