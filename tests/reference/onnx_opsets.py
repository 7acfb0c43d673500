"""Operators in the forms of operator sets 7 to 22, with the outputs that onnxruntime gives.

    onnx_opsets.py FOLDER

Writes FOLDER/<case>.onnx, FOLDER/<case>.bin (all inputs, then all outputs, as little-endian f32) and FOLDER/manifest.json.
Needs numpy, onnx, onnxruntime.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

manifest = []


def add(name, model, inputs, outputs, folder):
    values = list(inputs.values()) + outputs
    assert all(v.dtype == np.float32 and v.size > 0 for v in values), name
    onnx.save(model, folder / f"{name}.onnx")
    data = b"".join(np.ascontiguousarray(v, "<f4").tobytes() for v in values)
    (folder / f"{name}.bin").write_bytes(data)
    manifest.append(
        {
            "name": name,
            "inputs": [[key, list(value.shape)] for key, value in inputs.items()],
            "outputs": [[o.name, list(value.shape)] for o, value in zip(model.graph.output, outputs)],
        }
    )


class Net:
    """A chain of nodes of one operator set, judged by onnxruntime."""

    def __init__(self, name, opset, shape, batch="N"):
        self.name, self.opset = f"{name}_{opset}", opset
        self.random = np.random.default_rng(len(name) + opset)
        self.shape, self.batch = shape, batch
        self.nodes, self.initializers, self.last = [], [], "x"

    def stored(self, value, dtype=None, raw=True):
        name = f"w{len(self.initializers)}"
        value = np.asarray(value)
        if dtype is None:
            tensor = numpy_helper.from_array(value, name)
        else:
            content = value.astype(helper.tensor_dtype_to_np_dtype(dtype))
            content = content.tobytes() if raw else content.flatten().tolist()
            tensor = helper.make_tensor(name, dtype, value.shape, content, raw=raw)
        self.initializers.append(tensor)
        return name

    def weights(self, *shape):
        return self.stored(self.random.normal(size=shape).astype("float32"))

    def __call__(self, op, *inputs, after=None, **attributes):
        output = f"v{len(self.nodes)}"
        inputs = [after or self.last, *inputs] if op not in ("Constant",) else []
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        self.last = output
        return output

    def write(self, folder, images=3):
        dims = [self.batch, *self.shape]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
        y = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, self.name, [x], [y], self.initializers)
        ir = 3 if self.opset < 9 else 8
        if ir == 3:
            # Before IR 4, initializers are inputs too.
            for w in self.initializers:
                graph.input.append(helper.make_tensor_value_info(w.name, w.data_type, w.dims))
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=ir)
        batch = self.batch if isinstance(self.batch, int) else images
        value = self.random.normal(size=[batch, *self.shape]).astype("float32")
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        outputs = session.run(None, {"x": value})
        # A file says how many dimensions its outputs have.
        dims = [f"y{at}" for at in range(outputs[0].ndim)]
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info(self.last, TensorProto.FLOAT, dims))
        onnx.checker.check_model(model)
        add(self.name, model, {"x": value}, outputs, folder)


def attributes_that_became_inputs(folder):
    for opset in (7, 9, 11, 13, 17, 18, 21):
        net = Net("clip", opset, [3, 4, 5])
        if opset < 11:
            net("Clip", min=-0.5, max=0.25)
            net("Clip", min=-0.25)
        else:
            net("Clip", net.stored(np.float32(-0.5)), net.stored(np.float32(0.25)))
            net("Clip", net.stored(np.float32(-0.25)))
        net.write(folder)

        if opset >= 12:
            net = Net("clip_swapped", opset, [3])
            net("Clip", net.stored(np.float32(0.5)), net.stored(np.float32(-0.25)))
            net.write(folder)

        net = Net("pad", opset, [2, 4, 5])
        pads = [0, 0, 1, 2, 0, 0, 3, 0]
        if opset < 11:
            net("Pad", mode="constant", pads=pads, value=1.5)
        else:
            net("Pad", net.stored(np.array(pads)), net.stored(np.float32(1.5)))
        net.write(folder)

        net = Net("slice", opset, [6, 4, 5])
        if opset < 10:
            net("Slice", axes=[1, 3], starts=[1, -3], ends=[4, 1000])
        else:
            net("Slice", net.stored([1, -3]), net.stored([4, 1000]), net.stored([1, 3]))
        net.write(folder)

        net = Net("squeeze", opset, [1, 4, 1])
        axes = lambda *axes: ([], {"axes": list(axes)}) if opset < 13 else ([net.stored(np.array(axes))], {})
        for op, (inputs, attributes) in [("Squeeze", axes(1, 3)), ("Unsqueeze", axes(1)), ("Unsqueeze", axes(3))]:
            net(op, *inputs, **attributes)
        net("Conv", net.weights(2, 1, 3, 1), pads=[1, 0, 1, 0])
        net.write(folder)

        net = Net("dropout", opset, [5, 2, 2])
        net("Dropout", **({"ratio": 0.3} if opset < 12 else {}))
        net("Relu")
        net.write(folder)

        for axis in (1, 2):
            net = Net(f"softmax{axis}", opset, [5, 3, 2])
            net("Softmax", axis=axis)
            net.write(folder)

        for keep in (0, 1):
            net = Net(f"mean{keep}", opset, [5, 3, 2])
            given = ([], {"axes": [2, 3]}) if opset < 18 else ([net.stored([-1, -2])], {})
            net("ReduceMean", *given[0], keepdims=keep, **given[1])
            net.write(folder)

        net = Net("l2_norm", opset, [5, 3])
        net("LpNormalization")
        net("Flatten")
        net("LpNormalization", axis=1, p=2)
        net.write(folder)

        if opset >= 17:
            for name, bias in [("layer_norm", True), ("layer_norm_without_bias", False)]:
                net = Net(name, opset, [5, 3, 2])
                net("Transpose", perm=[0, 2, 3, 1])
                net("LayerNormalization", net.weights(5), *([net.weights(5)] if bias else []), epsilon=1e-3)
                net("Transpose", perm=[0, 3, 1, 2])
                net("Flatten")
                net("LayerNormalization", net.weights(30), net.weights(30), axis=1)
                net.write(folder)

        net = Net("batch_norm", opset, [5, 3, 2])
        positive = net.stored(net.random.uniform(0.5, 2, 5).astype("float32"))
        net("BatchNormalization", *[net.weights(5) for _ in range(3)], positive, epsilon=1e-3)
        net.write(folder)

        net = Net("gemm", opset, [6])
        net("Gemm", net.weights(4, 6), net.weights(4), transB=1, alpha=0.5, beta=2.0)
        net("Gemm", net.weights(4, 3), net.weights(1, 3))
        net("MatMul", net.weights(3, 5))
        net("Add", net.weights(5))
        net.write(folder)


def functions(folder):
    """Functions of one value, one after the other in each form they have."""
    number = lambda net, value: net.stored(np.float32(value))
    for opset in (7, 9, 11, 13, 14, 18, 20, 22):
        for name, attributes in [
            ("LeakyRelu", {}),
            ("LeakyRelu", {"alpha": 0.3}),
            ("Elu", {}),
            ("Elu", {"alpha": 0.5}),
            ("Selu", {}),
            ("HardSigmoid", {}),
            ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.4}),
            ("Tanh", {}),
            ("Softplus", {}),
            ("Softsign", {}),
            ("Erf", {"since": 9}),
            ("HardSwish", {"since": 14}),
            ("Mish", {"since": 18}),
            ("Gelu", {"since": 20}),
            ("Gelu", {"since": 20, "approximate": "tanh"}),
        ]:
            attributes = dict(attributes)
            if opset < attributes.pop("since", 7):
                continue
            net = Net("_".join([name.lower(), *(f"{k}{v}" for k, v in attributes.items())]), opset, [3, 4, 5])
            net("Mul", number(net, 4))
            net(name, **attributes)
            net.write(folder)

        net = Net("arithmetic", opset, [3, 4, 5])
        net("PRelu", net.stored(np.full([1, 1, 1], 0.25, "float32")))
        shifted = net("Add", number(net, 2), after=net("Mul", net.last, after=net.last))
        net("Div", shifted, after="x")
        net("Reciprocal", after=net("Sub", net.last, after=net.stored(np.array([7], "float32"))))
        net("Sub", number(net, 0.5))
        net.write(folder)

        net = Net("largest_and_smallest", opset, [3, 4, 5])
        scaled = net("Mul", net.weights(3, 1, 1))
        squared = net("Mul", "x", after="x")
        largest = net("Max", scaled, squared, after="x")
        smallest = net("Min", scaled, squared, after="x")
        net("Min", largest, after=net("Max", smallest, after=net.weights(5) if opset > 7 else scaled))
        net.write(folder)


def windows(folder):
    convolutions = {
        "same_upper": ((4, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        "same_lower": ((4, 3, 3, 2), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        "valid": ((4, 3, 3, 3), {"auto_pad": "VALID", "strides": [1, 2]}),
        "dilated": ((4, 3, 3, 2), {"dilations": [2, 3], "pads": [2, 0, 1, 3]}),
        "depthwise": ((3, 1, 3, 3), {"group": 3, "pads": [0, 0, 1, 1], "strides": [2, 2]}),
        "multiplier": ((6, 1, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
        "kernel_shape": ((2, 3, 1, 5), {"kernel_shape": [1, 5]}),
    }
    for name, (shape, attributes) in convolutions.items():
        net = Net(f"conv_{name}", 11, [3, 9, 8])
        net("Conv", net.weights(*shape), net.weights(shape[0]), **attributes)
        net.write(folder)
    net = Net("conv_groups", 11, [4, 5, 6])
    net("Conv", net.weights(6, 2, 3, 3), group=2)
    net.write(folder)

    pools = {
        "plain": {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]},
        "same": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    }
    for name, attributes in pools.items():
        for opset in (7, 10, 12, 19):
            net = Net(f"pool_max_{name}", opset, [3, 9, 8])
            net("MaxPool", **attributes)
            net.write(folder)
            for include in (0, 1):
                net = Net(f"pool_average_{name}{include}", opset, [3, 9, 8])
                net("AveragePool", count_include_pad=include, **attributes)
                net.write(folder)
    for opset in (10, 12, 19):
        net = Net("pool_max_ceil", opset, [3, 10, 9])
        net("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        net.write(folder)
        net = Net("pool_max_dilated", opset, [3, 10, 9])
        net("MaxPool", kernel_shape=[2, 3], dilations=[3, 2], pads=[1, 0, 0, 2])
        net.write(folder)
        net = Net("pool_average_ceil", opset, [3, 10, 9])
        net("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        net.write(folder)
    net = Net("pool_average_dilated", 19, [3, 10, 9])
    net("AveragePool", kernel_shape=[2, 3], dilations=[3, 2])
    net.write(folder)


def shape_arithmetic(folder):
    """What PyTorch, TensorFlow and their converters write for `flatten`, `view` and `reshape`."""

    def unsqueeze(net, opset, after):
        if opset < 13:
            return net("Unsqueeze", after=after, axes=[0])
        return net("Unsqueeze", net.stored(np.array([0])), after=after)

    for opset in (9, 11, 13, 17):
        for batch in ("N", 1):
            suffix = "" if batch == "N" else "_fixed"
            # x.view(x.size(0), -1)
            net = Net(f"view{suffix}", opset, [3, 4, 5], batch)
            net("Relu")
            size = net("Gather", net.stored(np.int64(0)), after=net("Shape", after="x"), axis=0)
            rest = net.stored(np.array([-1]))
            target = net("Concat", rest, after=unsqueeze(net, opset, size), axis=0)
            net("Reshape", target, after="v0")
            net("Gemm", net.weights(60, 4), net.weights(4))
            net.write(folder)

            # x.view(x.size(0), x.size(1) * x.size(2) // 2, 2 * x.size(3)), as channel shuffles do
            net = Net(f"shuffle{suffix}", opset, [4, 6, 5], batch)
            at = lambda i: net("Gather", net.stored(np.array(i)), after=net("Shape", after="x"), axis=0)
            halved = net("Div", net.stored(np.array([2])), after=net("Mul", at([2]), after=at([1])))
            doubled = net("Mul", net.stored(np.array([2])), after=at([3]))
            target = net("Concat", halved, doubled, after=at([0]), axis=0)
            net("Transpose", after=net("Reshape", target, after="x"), perm=[0, 2, 1])
            net.write(folder)

            # tf.reshape(x, [tf.shape(x)[0], 60]), with the casts of tf2onnx
            net = Net(f"strided_slice{suffix}", opset, [3, 4, 5], batch)
            sizes = net("Cast", after=net("Shape", after="x"), to=TensorProto.INT32)
            if opset < 10:
                first = net("Slice", after=sizes, axes=[0], starts=[0], ends=[1])
            else:
                first = net("Slice", net.stored([0]), net.stored([1]), net.stored([0]), after=sizes)
            first = net("Cast", after=first, to=TensorProto.INT64)
            net("Reshape", net("Concat", net.stored(np.array([60])), after=first, axis=0), after="x")
            net.write(folder)

            # Traced with one image: the batch is a number.
            net = Net(f"traced{suffix}", opset, [3, 4, 5], batch)
            net("Reshape", net.stored(np.array([1, -1] if batch == 1 else [0, -1])))
            net.write(folder)

    net = Net("squeezed_pool", 11, [4, 3, 3])
    net("GlobalAveragePool")
    net("Squeeze", axes=[2, 3])
    net("Gemm", net.weights(2, 4), transB=1)
    net.write(folder)

    net = Net("ones", 11, [3, 4, 5])
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.5])
    half = net("ConstantOfShape", after=net("Shape", after=net.weights(3, 4, 5)), value=value)
    net("Mul", half, after="x")
    net.write(folder)


def stored_types(folder):
    for name, dtype in [("f16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16), ("f64", TensorProto.DOUBLE)]:
        for raw in (True, False):
            net = Net(f"{name}_{'raw' if raw else 'typed'}", 13, [4])
            values = net.random.normal(size=(4, 3)).astype("float32")
            if dtype == TensorProto.BFLOAT16:
                values = (values.view("uint32") & 0xFFFF0000).view("float32")
            weights = net("Cast", after=net.stored(values, dtype, raw), to=TensorProto.FLOAT)
            net("MatMul", weights, after="x")
            net.write(folder)
    net = Net("f32_typed", 13, [4])
    net("MatMul", net.stored(net.random.normal(size=(4, 3)), TensorProto.FLOAT, False))
    net.write(folder)
    net = Net("i32_typed", 13, [4])
    target = net("Cast", after=net.stored([-1, 2, 2], TensorProto.INT32, False), to=TensorProto.INT64)
    net("Reshape", target, after="x")
    net.write(folder)


def residual(folder):
    """Normalisation in front, depthwise convolutions, a residual, swish, and two branches that are joined."""
    net = Net("network", 13, [3, 8, 8])
    net("Sub", net.weights(1, 3, 1, 1))
    net("Div", net.stored(np.float32(0.5)))
    stem = net("Relu", after=net("Conv", net.weights(4, 3, 3, 3), net.weights(4), pads=[1, 1, 1, 1]))
    net("Conv", net.weights(4, 1, 3, 3), group=4, pads=[1, 1, 1, 1])
    net("Mul", net.last, after=net("Sigmoid"))
    joined = net("Add", stem, after=net("Conv", net.weights(4, 4, 1, 1)))
    left = net("MaxPool", after=joined, kernel_shape=[2, 2], strides=[2, 2])
    right = net("AveragePool", after=joined, kernel_shape=[2, 2], strides=[2, 2])
    net("Concat", right, after=left, axis=1)
    net("Transpose", perm=[0, 2, 3, 1])
    net("ReduceMean", axes=[1, 2], keepdims=0)
    net("MatMul", net.weights(8, 5))
    net("Add", net.weights(5))
    net("Softmax")
    net.write(folder)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for write in (attributes_that_became_inputs, functions, windows, shape_arithmetic, stored_types, residual):
        write(folder)
    names = [case["name"] for case in manifest]
    assert len(set(names)) == len(names), "two cases share a name"
    (folder / "manifest.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
