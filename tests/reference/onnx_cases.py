"""ONNX models with inputs and the outputs that other software computes, for tests/onnx.rs.

    python onnx_cases.py nodes FOLDER     the ONNX project's backend tests of single operators (Apache-2.0)
    python onnx_cases.py layers FOLDER    its layers exported by PyTorch, with PyTorch's outputs
    python onnx_cases.py networks FOLDER  its networks without trained weights, judged by onnxruntime
    python onnx_cases.py exports FOLDER   what exporters write, in all operator sets, judged by onnxruntime
    python onnx_cases.py zoo FOLDER       trained networks on photos, judged by onnxruntime; needs assets/

FOLDER/index.json lists the cases: {name, model, runs: [{inputs: {name: array}, outputs: [array]}]}; an array is
{shape, file}, its file holds little-endian f32. The first three kinds come with the `onnx` package.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

OPERATORS = set(
    """Add AveragePool BatchNormalization Clip Concat Conv Div Dropout Elu Erf Flatten Gelu Gemm GlobalAveragePool GlobalMaxPool
    HardSigmoid HardSwish Identity LayerNormalization LeakyRelu LpNormalization MatMul Max MaxPool Min Mish Mul PRelu Pad Reciprocal
    ReduceMean Relu Reshape Selu Sigmoid Slice Softmax Softplus Softsign Squeeze Sub Sum Tanh Transpose Unsqueeze""".split()
)
PHOTOS = 6
NEWEST = 22  # Later versions of these operators add types alone.


class Cases:
    def __init__(self, folder):
        self.folder, self.cases = Path(folder), {}
        self.folder.mkdir(parents=True, exist_ok=True)

    def array(self, file, values):
        (self.folder / file).write_bytes(np.ascontiguousarray(values, dtype="<f4").tobytes())
        return {"shape": list(np.shape(values)), "file": file}

    def add(self, name, model, runs):
        assert name not in self.cases, f"two cases are called {name}"
        (self.folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        listed = [
            {
                "inputs": {key: self.array(f"{name}.{at}.in{i}", x) for i, (key, x) in enumerate(inputs.items())},
                "outputs": [self.array(f"{name}.{at}.out{i}", y) for i, y in enumerate(outputs)],
            }
            for at, (inputs, outputs) in enumerate(runs)
        ]
        self.cases[name] = {"name": name, "model": f"{name}.onnx", "runs": listed}

    def judged(self, name, model, batches=(1,)):
        """Adds a case whose outputs onnxruntime computes."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        rng = np.random.default_rng(0)
        runs = []
        for batch in batches:
            shape = lambda info: [d if isinstance(d, int) else batch for d in info.shape]
            inputs = {i.name: rng.uniform(-1, 1, shape(i)).astype(np.float32) for i in session.get_inputs()}
            runs.append((inputs, session.run(None, inputs)))
        self.add(name, model, runs)

    def close(self):
        (self.folder / "index.json").write_text(json.dumps(list(self.cases.values()), indent=1))


def is_float(array):
    return isinstance(array, np.ndarray) and array.dtype == np.float32


def nodes(cases):
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collected = collect_testcases(None)
    for case in collected:
        graph = case.model.graph
        (inputs, outputs), *_ = case.data_sets or [((), ())]
        if len(graph.node) != 1 or graph.node[0].op_type not in OPERATORS or not inputs:
            continue
        if not is_float(inputs[0]) or not all(is_float(y) for y in outputs) or 0 in inputs[0].shape:
            continue
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        model.opset_import[0].version = min(model.opset_import[0].version, NEWEST)
        # The tests hand weights over as inputs; networks store them.
        for info, value in zip(graph.input[1:], inputs[1:]):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), info.name))
        del model.graph.input[1:]
        cases.add(case.name.removeprefix("test_"), model, [({graph.input[0].name: inputs[0]}, outputs)])


def layers(cases):
    for folder in sorted((Path(onnx.__file__).parent / "backend/test/data/pytorch-converted").iterdir()):
        if not (folder / "model.onnx").exists():
            continue
        model = onnx.load(folder / "model.onnx")
        if not {node.op_type for node in model.graph.node} <= OPERATORS:
            continue
        # They are of set 6, in which these operators are those of 7.
        model.opset_import[0].version = 7
        load = lambda file: numpy_helper.to_array(onnx.load_tensor(folder / "test_data_set_0" / file))
        stored = {tensor.name for tensor in model.graph.initializer}
        (name,) = [i.name for i in model.graph.input if i.name not in stored]
        cases.add(folder.name.removeprefix("test_"), model, [({name: load("input_0.pb")}, [load("output_0.pb")])])


def networks(cases):
    for path in sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx")):
        model = onnx.load(path)
        # VGG-19 takes longer than all others together and has no operator that they lack.
        if {node.op_type for node in model.graph.node} <= OPERATORS | {"ConstantOfShape"} and path.stem != "light_vgg19":
            cases.judged(path.stem, model)


def exports(cases):
    import onnx_exports

    onnx_exports.write(cases)


def zoo(cases):
    import export_zoo

    for name in export_zoo.NETWORKS:
        model, x, labels, logits = export_zoo.judge(name)
        right = (logits.argmax(1) == labels).mean()
        assert right >= 0.8, f"{name}: {right} of the photos are classified right, so the export is wrong"
        cases.add(name, model, [({"input": x[i : i + 1]}, [logits[i : i + 1]]) for i in range(PHOTOS)])


if __name__ == "__main__":
    kind, folder = sys.argv[1:]
    cases = Cases(folder)
    {"nodes": nodes, "layers": layers, "networks": networks, "exports": exports, "zoo": zoo}[kind](cases)
    cases.close()
