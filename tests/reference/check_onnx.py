"""Checks models that regraft wrote: the onnx checker accepts them and onnxruntime computes what regraft computes.

    python check_onnx.py FOLDER TOLERANCE

FOLDER/index.json is laid out as onnx_cases.py writes it. Differences are absolute, as far as values do not exceed 1.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


def check(folder, case, tolerance):
    model = onnx.load(folder / case["model"])
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    array = lambda a: np.fromfile(folder / a["file"], "<f4").reshape(a["shape"])
    worst = 0.0
    for run in case["runs"]:
        outputs = session.run(None, {name: array(x) for name, x in run["inputs"].items()})
        assert len(outputs) == len(run["outputs"])
        for info, y, ours in zip(session.get_outputs(), outputs, map(array, run["outputs"])):
            assert y.shape == ours.shape, f"{info.name} is {y.shape}, not {ours.shape}"
            difference = np.abs(y - ours) / np.maximum(1, np.abs(y))
            assert (difference <= tolerance).all(), f"{info.name} differs by {difference.max()}"
            worst = max(worst, difference.max(initial=0))
    return worst


def main(folder, tolerance):
    failed = []
    for case in json.loads((folder / "index.json").read_text()):
        try:
            print(f"{case['name']}: {check(folder, case, tolerance):.1e}")
        except Exception as error:
            failed.append(f"{case['name']}: {error}")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
