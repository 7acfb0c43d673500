"""What the tests compare: name, dtype, shape and a hash of the row-major little-endian elements of every tensor."""

import hashlib
import json
from pathlib import Path

DATA = Path(__file__).parent.parent / "data"
HOST = {"float32": "f32", "int32": "i32", "int64": "i64", "uint8": "u8", "bool": "bool"}


def row(name, array):
    array = array.astype("float32") if array.dtype.kind == "f" else array
    little = array.astype(array.dtype.newbyteorder("<")).tobytes(order="C")
    return [name, HOST[array.dtype.name], list(array.shape), hashlib.sha256(little).hexdigest()[:16]]


def write(stem, tensors):
    """Writes `tests/data/<stem>.json`, one tensor a line."""
    rows = [json.dumps(row(name, array), separators=(",", ":")) for name, array in tensors]
    parameters = sum(array.size for _, array in tensors if array.dtype.kind == "f")
    text = f'{{"parameters":{parameters},"tensors":[\n' + ",\n".join(rows) + "\n]}\n"
    (DATA / f"{stem}.json").write_text(text)
    print(stem, len(tensors), parameters)
