"""Graphs as exporters write them, for onnx_cases.py."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


class Network:
    """A network with one input `x` and seeded weights."""

    def __init__(self, opset, *shape):
        self.rng, self.nodes, self.stored, self.opset = np.random.default_rng(opset), [], [], opset
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)

    def weights(self, *shape, name=None):
        return self.store(self.rng.uniform(-0.5, 0.5, shape).astype(np.float32), name)

    def store(self, value, name=None, dtype=None, raw=True):
        name = name or f"w{len(self.stored)}"
        if dtype is None:
            self.stored.append(numpy_helper.from_array(np.asarray(value), name))
        else:
            content = np.asarray(value).astype(helper.tensor_dtype_to_np_dtype(dtype))
            content = content.tobytes() if raw else content.flatten().tolist()
            self.stored.append(helper.make_tensor(name, dtype, np.shape(value), content, raw=raw))
        return name

    def number(self, value):
        return self.store(np.float32(value))

    def ints(self, *values):
        return self.store(np.array(values, dtype=np.int64))

    def __call__(self, op, *inputs, **attributes):
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"/{output}", **attributes))
        return output

    def unsqueeze(self, x, *axes):
        return self("Unsqueeze", x, axes=axes) if self.opset < 13 else self("Unsqueeze", x, self.ints(*axes))

    def squeeze(self, x, *axes):
        return self("Squeeze", x, axes=axes) if self.opset < 13 else self("Squeeze", x, self.ints(*axes))

    def mean(self, x, *axes, keepdims):
        if self.opset < 18:
            return self("ReduceMean", x, axes=axes, keepdims=keepdims)
        return self("ReduceMean", x, self.ints(*axes), keepdims=keepdims)

    def slice(self, x, axis, start, end):
        if self.opset < 10:
            return self("Slice", x, axes=[axis], starts=[start], ends=[end])
        return self("Slice", x, self.ints(start), self.ints(end), self.ints(axis))

    def clip(self, x, low, high):
        if self.opset < 11:
            return self("Clip", x, **{k: v for k, v in (("min", low), ("max", high)) if v is not None})
        bounds = ["" if bound is None else self.number(bound) for bound in (low, high)]
        return self("Clip", x, *bounds)

    def pad(self, x, pads, value=0.0):
        if self.opset < 11:
            return self("Pad", x, mode="constant", pads=pads, value=value)
        return self("Pad", x, self.ints(*pads), self.number(value))

    def model(self, *outputs):
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "g", [self.input], infos, self.stored)
        if self.opset < 9:
            # Before IR version 4, initializers are inputs too.
            graph.input.extend(helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in self.stored)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=3 if self.opset < 9 else 8)


def torch_flatten(opset, batch="batch"):
    """torch.onnx (TorchScript): x.view(x.size(0), -1) behind a pooling."""
    net = Network(opset, batch, 3, 9, 9)
    x = net("Conv", "x", net.weights(8, 3, 3, 3, name="features.0.weight"), net.weights(8, name="features.0.bias"), strides=[2, 2])
    pooled = net("GlobalAveragePool", net.clip(x, 0.0, 6.0))
    size = net("Gather", net("Shape", pooled), net.store(np.int64(0)), axis=0)
    flat = net("Reshape", pooled, net("Concat", net.unsqueeze(size, 0), net.ints(-1), axis=0))
    return net.model(net("Gemm", flat, net.weights(5, 8, name="classifier.weight"), net.weights(5), transB=1))


def traced_batch(opset):
    """A batch of one that the exporter wrote down as a number."""
    net = Network(opset, 1, 4, 6, 6)
    x = net("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2])
    x = net("Reshape", x, net.ints(1, 16))
    return net.model(net("Softmax", net("Gemm", x, net.weights(16, 3), net.weights(3)), axis=1))


def tf2onnx(opset):
    """tf2onnx and keras2onnx: NHWC outside, NCHW inside, paddings and biases as nodes."""
    net = Network(opset, "unk__1", 8, 8, 3)
    x = net("Transpose", "x", perm=[0, 3, 1, 2])
    x = net("Sub", net("Mul", x, net.number(2.0)), net.weights(1, 3, 1, 1))
    x = net.pad(x, [0, 0, 0, 0, 0, 0, 1, 1])
    x = net("Conv", x, net.weights(6, 3, 3, 3), strides=[2, 2])
    variance = net.store(np.linspace(0.5, 2, 6, dtype=np.float32))
    x = net("BatchNormalization", x, net.weights(6), net.weights(6), net.weights(6), variance, epsilon=1e-3)
    # Set 7 broadcasts no bound.
    x = net("Min", net("Relu", x), net.number(6)) if opset > 7 else net.clip(x, 0.0, 6.0)
    x = net("Conv", x, net.weights(6, 1, 3, 3), group=6, auto_pad="SAME_UPPER", strides=[2, 2])
    x = net("Add", x, net.weights(1, 6, 1, 1))
    mean = net.mean(x, 2, 3, keepdims=0)
    x = net("Add", net("MatMul", mean, net.weights(6, 4)), net.weights(4))
    nhwc = net("Transpose", net("Concat", "x", "x", axis=3), perm=[0, 2, 1, 3])
    return net.model(net("Softmax", x, axis=1), mean, net.mean(nhwc, 1, 2, keepdims=1))


def tf_flatten(opset):
    """tf2onnx: a flatten through the shape, cast and sliced; the features are counted by a product."""
    net = Network(opset, "N", 4, 5, 2)
    batch = net.slice(net("Cast", net("Shape", "x"), to=TensorProto.INT32), 0, 0, 1)
    count = net("ReduceProd", net.slice(net("Shape", "x"), 0, 1, 2**62), keepdims=1)
    target = net("Concat", batch, net("Cast", count, to=TensorProto.INT32), axis=0)
    x = net("Reshape", "x", net("Cast", target, to=TensorProto.INT64))
    return net.model(net("MatMul", x, net.weights(40, 3)))


def shuffle(opset):
    """Channel shuffle and sizes that are multiplied and divided, as in x.view(b * c, …)."""
    net = Network(opset, "batch", 6, 4, 4)
    batch = net("Gather", net("Shape", "x"), net.store(np.int64(0)), axis=0)
    target = net("Concat", net.unsqueeze(batch, 0), net.ints(2), net.ints(3, 4, 4), axis=0)
    x = net("Transpose", net("Reshape", "x", target), perm=[0, 2, 1, 3, 4])
    x = net("Reshape", x, net.ints(-1, 6, 4, 4))
    rows = net("Mul", batch, net.store(np.int64(6)))
    x = net("Softmax", net("Reshape", x, net("Concat", net.unsqueeze(rows, 0), net.ints(-1), axis=0)), axis=1)
    half = net("Div", rows, net.store(np.int64(2)))
    return net.model(net("Reshape", x, net("Concat", net.unsqueeze(half, 0), net.ints(32), axis=0)))


def windows(opset):
    """Every way to pad and round a window that the operator set has."""
    net = Network(opset, "N", 4, 11, 13)

    def conv(**attributes):
        return net("Conv", "x", net.weights(4, 4 // attributes.get("group", 1), 3, 5), **attributes)

    same = {"auto_pad": "SAME_UPPER", "kernel_shape": [3, 3], "strides": [2, 2]}
    padded = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    outputs = [
        conv(pads=[1, 0, 2, 3], strides=[2, 1], dilations=[1, 2], kernel_shape=[3, 5]),
        conv(auto_pad="SAME_LOWER", strides=[2, 3]),
        conv(auto_pad="SAME_UPPER", strides=[2, 2], group=2),
        conv(auto_pad="VALID", group=4),
        net("Conv", "x", net.weights(8, 1, 3, 3), net.weights(8), group=4, pads=[1, 1, 1, 1]),
        net("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 0, 1]),
        net("MaxPool", "x", **same),
        net("MaxPool", "x", **{**same, "auto_pad": "SAME_LOWER"}),
        net("AveragePool", "x", count_include_pad=1, **padded),
        net("AveragePool", "x", **padded),
        net("AveragePool", "x", **same),
        net("GlobalMaxPool", "x"),
    ]
    if opset >= 10:
        outputs += [
            net("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 0, 1], ceil_mode=1),
            net("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 3]),
            net("AveragePool", "x", kernel_shape=[2, 4], strides=[3, 3], ceil_mode=1),
        ]
    if opset >= 19:
        outputs.append(net("AveragePool", "x", kernel_shape=[2, 3], dilations=[3, 2]))
    return net.model(*outputs)


def dimensions(opset):
    """Operators whose attributes became inputs, and old meanings of axes."""
    net = Network(opset, "N", 6, 4, 5)
    sliced = net.slice(net.slice("x", 1, 1, 4), 3, -3, 1000)
    moved = net.unsqueeze(net.squeeze(net.slice("x", 1, -1, 2**31), 1), 1, 4)
    softmaxes = [net("Softmax", "x", axis=axis) for axis in (1, 2, 3)]
    dropped = net("Relu", net("Dropout", "x", ratio=0.3) if opset < 12 else net("Dropout", "x"))
    flat = [net("Flatten", "x", axis=axis) for axis in (1, 2, 4)]
    padded = net.pad("x", [0, 0, 1, 2, 0, 0, 3, 0], 1.5)
    clipped = [net.clip("x", -0.5, 0.25), net.clip("x", None, 0.25), net.clip("x", -0.25, None)]
    means = [net.mean("x", 2, 3, keepdims=keep) for keep in (0, 1)]
    return net.model(sliced, moved, *softmaxes, dropped, *flat, padded, *clipped, *means)


def operators(opset):
    """What is composed from other ops, and weights that the file computes."""
    net = Network(opset, "N", 5)
    half = net.store(net.rng.uniform(-1, 1, (3, 5)).astype(np.float16))
    x = net("MatMul", "x", net("Transpose", net("Cast", half, to=TensorProto.FLOAT)))
    y = net("Gemm", "x", net.weights(3, 5), net.weights(1, 3), alpha=0.5, beta=2.0, transB=1)
    z = net("Sub", net("Sub", x, y), net.store(np.float32([1])))
    q = net("Div", net("Max", z, net.number(-2)), net.weights(3))
    s = net("Sum", x, y, z)
    gram = net("Gemm", x, y, net.weights(3, 3), alpha=0.5, transA=1)
    last = net.slice(net("Concat", q, s, axis=1), 1, -4, 2**62)
    three = net.unsqueeze(last, 1)
    quarter = net("Constant", value=numpy_helper.from_array(np.float32(0.25)))
    scaled = net("Mul", quarter, net.squeeze(net("MatMul", three, net.weights(4, 2)), 1))
    joined = net("Add", net("Concat", x, net.weights(1, 3), axis=0), net.number(1.5))
    ones = net("ConstantOfShape", net("Shape", net.weights(3)), value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5]))
    shared = net.weights(3, 3)
    zero = net.number(0)
    twice = net("Gemm", net("Gemm", net("Mul", q, ones), shared, zero), shared, zero, transB=1)
    return net.model(net("Identity", scaled), net("Flatten", three, axis=2), net("Sigmoid", s), gram, joined, twice, "x")


def types(opset):
    """Stored floats and integers of every type, as bytes and in typed fields."""
    net = Network(opset, "N", 4)
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
    products = []
    for dtype in floats:
        for raw in (True, False):
            # Exact in all of these types.
            stored = net.store(net.rng.integers(-8, 8, (4, 3)) / 4, None, dtype, raw)
            products.append(net("MatMul", "x", net("Cast", stored, to=TensorProto.FLOAT)))
    shapes = []
    for dtype in (TensorProto.INT32, TensorProto.INT64):
        for raw in (True, False):
            target = net("Cast", net.store([-1, 2, 2], None, dtype, raw), to=TensorProto.INT64)
            shapes.append(net("Reshape", "x", target))
    return net.model(*products, *shapes)


def residual(opset):
    """Normalisation in front, depthwise convolutions, swish, a residual, and two branches that are joined."""
    net = Network(opset, "N", 3, 8, 8)
    x = net("Div", net("Sub", "x", net.weights(1, 3, 1, 1)), net.number(0.5))
    stem = net("Relu", net("Conv", x, net.weights(4, 3, 3, 3), net.weights(4), pads=[1, 1, 1, 1]))
    x = net("Conv", stem, net.weights(4, 1, 3, 3), group=4, pads=[1, 1, 1, 1])
    x = net("Mul", net("Sigmoid", x), x)
    x = net("Add", stem, net("Conv", x, net.weights(4, 4, 1, 1)))
    pools = [net(op, x, kernel_shape=[2, 2], strides=[2, 2]) for op in ("MaxPool", "AveragePool")]
    x = net("Transpose", net("Concat", *pools, axis=1), perm=[0, 2, 3, 1])
    x = net("Add", net("MatMul", net.mean(x, 1, 2, keepdims=0), net.weights(8, 5)), net.weights(5))
    return net.model(net("Softmax", x))


def write(cases):
    every = (7, 9, 10, 11, 12, 13, 15, 17, 18, 19, 21, 22)
    for opset in every:
        cases.judged(f"torch_flatten_{opset}", torch_flatten(opset), (1, 3))
        cases.judged(f"windows_{opset}", windows(opset), (1, 2))
        cases.judged(f"dimensions_{opset}", dimensions(opset), (1, 2))
        cases.judged(f"tf2onnx_{opset}", tf2onnx(opset), (1, 2))
    for opset in (9, 13, 18):
        cases.judged(f"torch_flatten_fixed_{opset}", torch_flatten(opset, 1))
        cases.judged(f"traced_batch_{opset}", traced_batch(opset))
        cases.judged(f"tf_flatten_{opset}", tf_flatten(opset), (1, 2))
        cases.judged(f"shuffle_{opset}", shuffle(opset), (1, 2))
        cases.judged(f"operators_{opset}", operators(opset), (1, 3))
        cases.judged(f"residual_{opset}", residual(opset), (1, 2))
    cases.judged("types_13", types(13), (1, 2))
