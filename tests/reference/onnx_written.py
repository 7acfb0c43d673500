"""Checks models that regraft wrote and runs them in onnxruntime.

    onnx_written.py FOLDER TOLERANCE

Reads FOLDER/manifest.json and, for every case, <case>.onnx and <case>.bin (inputs, then the outputs that regraft computes). Fails
where the checker refuses a model, its input and output shapes are not those of the manifest, or an output differs by more than
TOLERANCE. Needs numpy, onnx, onnxruntime.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort


def declared(values, case_values):
    """The declared shapes fit, name by name; a named or open dimension takes any extent."""
    for value, (name, shape) in zip(values, case_values, strict=True):
        dims = value.type.tensor_type.shape.dim
        fixed = [d.dim_value if d.HasField("dim_value") else None for d in dims]
        fits = len(fixed) == len(shape) and all(f in (None, s) for f, s in zip(fixed, shape))
        assert value.name == name and fits, f"{value.name} {fixed} is declared for {name} {shape}"


def check(folder, case, tolerance):
    path = folder / f"{case['name']}.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "regraft", model.producer_name
    for key, value in case.get("metadata", {}).items():
        assert {p.key: p.value for p in model.metadata_props}[key] == value, key
    declared(model.graph.input, case["inputs"])
    declared(model.graph.output, case["outputs"])
    elements = np.fromfile(folder / f"{case['name']}.bin", "<f4")
    arrays = []
    for _, shape in case["inputs"] + case["outputs"]:
        size = int(np.prod(shape))
        arrays.append(elements[:size].reshape(shape))
        elements = elements[size:]
    assert elements.size == 0
    inputs, expected = arrays[: len(case["inputs"])], arrays[len(case["inputs"]) :]
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: x for (name, _), x in zip(case["inputs"], inputs)})
    worst = 0.0
    for (name, _), y, e in zip(case["outputs"], found, expected, strict=True):
        assert y.shape == e.shape, f"{name} is {y.shape}, regraft's is {e.shape}"
        difference = float(np.max(np.abs(y - e) / np.maximum(1, np.abs(e))))
        assert difference <= tolerance, f"{name} is off by {difference:.2e}"
        worst = max(worst, difference)
    return worst


def main(folder, tolerance):
    cases = json.loads((folder / "manifest.json").read_text())
    failures, worst = [], 0.0
    for case in cases:
        try:
            worst = max(worst, check(folder, case, tolerance))
        except Exception as why:  # noqa: BLE001, each library has its own
            failures.append(f"{case['name']}: {type(why).__name__}: {why}")
    print("\n".join(failures))
    print(f"{len(cases)} models, {len(failures)} fail, largest difference {worst:.2e}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
