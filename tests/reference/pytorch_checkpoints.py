"""Small checkpoints in the layouts of torch.save, made without PyTorch, and the digests of what they hold.

Follows torch/serialization.py (`_save`, `_legacy_save`) and torch/_tensor.py (`_reduce_ex_internal`).
Needs numpy. Writes tests/data/pytorch/small_*.
"""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np

import digest

PROTOCOL = 2


def module(name, *functions):
    """A stand-in module, so that the pickler finds the names it writes."""
    made = types.ModuleType(name)
    for function in functions:
        stub = type(function, (), {"__module__": name})
        stub.__qualname__ = function
        setattr(made, function, stub)
    sys.modules[name] = made
    return made


TORCH = module("torch", "FloatStorage", "HalfStorage", "BFloat16Storage", "DoubleStorage", "IntStorage",
               "LongStorage", "ByteStorage", "BoolStorage")
UTILS = module("torch._utils", "_rebuild_tensor_v2", "_rebuild_parameter")
CLASSES = {"float32": "Float", "float16": "Half", "bfloat16": "BFloat16", "float64": "Double", "int32": "Int",
           "int64": "Long", "uint8": "Byte", "bool": "Bool"}


class Storage:
    def __init__(self, key, data, name=None):
        self.key, self.data, self.name = key, data, name or data.dtype.name


class Tensor:
    """A view of a storage; `array` is what it holds."""

    def __init__(self, storage, array, offset=0, stride=None, parameter=False):
        self.storage, self.array, self.offset, self.parameter = storage, array, offset, parameter
        self.stride = stride or tuple(s // array.itemsize for s in np.zeros_like(array, order="C").strides)

    def __reduce__(self):
        args = (self.storage, self.offset, self.array.shape, self.stride, False, OrderedDict())
        if self.parameter:
            self.parameter = False
            return UTILS._rebuild_parameter, (self, True, OrderedDict())
        return UTILS._rebuild_tensor_v2, args


def dump(value, storages, legacy, protocol=PROTOCOL):
    class Pickler(pickle._Pickler):
        # The Python pickler, whose save_global does not care that the stand-ins are classes.
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            storages[value.key] = value
            pid = ("storage", getattr(TORCH, CLASSES[value.name] + "Storage"), value.key, "cpu", value.data.size)
            return (*pid, None) if legacy else pid

    out = io.BytesIO()
    Pickler(out, protocol).dump(value)
    return out.getvalue()


def save_zip(stem, value, order="little", protocol=PROTOCOL):
    storages = {}
    pickled = dump(value, storages, legacy=False, protocol=protocol)
    entries = [("data.pkl", pickled), ("byteorder", order.encode())]
    for key, storage in storages.items():
        swapped = storage.data.astype(storage.data.dtype.newbyteorder("<" if order == "little" else ">"))
        entries.append((f"data/{key}", swapped.tobytes()))
    entries.append(("version", b"3\n"))
    with zipfile.ZipFile(digest.DATA / "pytorch" / f"{stem}.pt", "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(f"{stem}/{name}"), data)


def save_legacy(stem, value, protocol=PROTOCOL):
    storages = {}
    pickled = dump(value, storages, legacy=True, protocol=protocol)
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    with open(digest.DATA / "pytorch" / f"{stem}.pt", "wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, system):
            pickle.dump(head, file, protocol)
        file.write(pickled)
        pickle.dump(sorted(storages), file, protocol)
        for key in sorted(storages):
            data = storages[key].data
            file.write(data.size.to_bytes(8, "little") + data.astype(data.dtype.newbyteorder("<")).tobytes())


def whole(key, array, **options):
    return Tensor(Storage(key, array.reshape(-1)), array, **options)


def every_kind(random):
    """Every element type, and views that are not row-major."""
    f32 = random.normal(size=(4, 3, 2, 2)).astype("float32")
    base = random.normal(size=24).astype("float32")
    shared = Storage("6", base)
    brain = (f32.reshape(-1)[:6].view("uint32") >> 16).astype("uint16")
    widened = (brain.astype("uint32") << 16).view("float32").reshape(2, 3)
    column = base[2:14].reshape(4, 3)
    state = OrderedDict(
        [
            ("conv.weight", whole("0", f32, parameter=True)),
            ("conv.half", whole("1", f32[0].astype("float16"))),
            ("conv.brain", Tensor(Storage("2", brain, "bfloat16"), widened)),
            ("bn.double", whole("3", random.normal(size=5))),
            ("bn.num_batches_tracked", whole("4", np.array(1 << 40, "int64"))),
            ("bn.mask", whole("5", np.array([True, False, True]))),
            ("view.all", Tensor(shared, base.reshape(2, 3, 4))),
            ("view.tail", Tensor(shared, base[20:], offset=20)),
            ("view.transposed", Tensor(shared, column.T, offset=2, stride=(1, 3))),
            ("view.channels_last", Tensor(shared, base.reshape(1, 2, 3, 4).transpose(0, 3, 1, 2), stride=(24, 1, 12, 4))),
            ("view.every_other", Tensor(shared, base[1::2], offset=1, stride=(2,))),
            ("view.expanded", Tensor(shared, np.broadcast_to(base[3], (2, 5)), offset=3, stride=(0, 0))),
            ("view.empty", Tensor(shared, np.zeros((0, 7), "float32"), stride=(7, 1))),
            ("index", whole("7", np.array([-1, 2, 1 << 30], "int32"))),
            ("bytes", whole("8", np.arange(250, 256, dtype="uint8"))),
        ]
    )
    return state


def named(state):
    return [(name, tensor.array) for name, tensor in state.items()]


class WithMetadata(OrderedDict):
    """Module.state_dict() carries versions as an attribute, which the pickle gives back with BUILD."""

    def __reduce__(self):
        return OrderedDict, (), {"_metadata": OrderedDict([("", {"version": 1})])}, None, iter(self.items())


def main():
    random = np.random.default_rng(7)
    state = WithMetadata(every_kind(random))
    expected = named(state)
    save_zip("small_zip", state)
    digest.write("pytorch/small_zip", expected)
    save_legacy("small_legacy", WithMetadata(every_kind(np.random.default_rng(7))))
    digest.write("pytorch/small_legacy", expected)

    parallel = {f"module.{name}": tensor for name, tensor in every_kind(np.random.default_rng(7)).items()}
    optimizer = {"state": {0: {"step": 3, "exp_avg": whole("90", np.ones(3, "float32"))}}, "param_groups": [{"lr": 0.1}]}
    training = {"epoch": 4, "arch": "tiny", "best": 0.5, "seen": {1, 2}, "optimizer": optimizer, "state_dict": parallel}
    save_zip("small_big_endian", training, order="big", protocol=4)
    digest.write("pytorch/small_big_endian", expected)

    weights = [whole("0", np.arange(6, dtype="float32").reshape(2, 3)), whole("1", np.arange(3, dtype="float32"))]
    nested = {"blocks": [{"w": weights[0]}, {"w": weights[1]}], 5: weights[1], "note": None, "size": (1, -70000, 1 << 40)}
    save_legacy("small_nested", nested, protocol=4)
    names = [("blocks.0.w", weights[0]), ("blocks.1.w", weights[1]), ("5", weights[1])]
    digest.write("pytorch/small_nested", [(name, tensor.array) for name, tensor in names])

    fortran = np.asfortranarray(random.normal(size=(3, 4)).astype("float32"))
    plain = {"conv": [fortran, random.normal(size=(2, 2)).astype(">f4")], "half": np.arange(3, dtype="float16"),
             "ids": np.arange(4), "flag": np.array([True, False])}
    with open(digest.DATA / "pytorch" / "small_numpy.pkl", "wb") as file:
        pickle.dump(plain, file, PROTOCOL)
    names = [("conv.0", fortran), ("conv.1", plain["conv"][1]), ("half", plain["half"]), ("ids", plain["ids"]),
             ("flag", plain["flag"])]
    digest.write("pytorch/small_numpy", names)


if __name__ == "__main__":
    main()
