"""EfficientNet-Lite0 and MobileNetV2 as ONNX, straight from their checkpoints: an export that shares no code with regraft.

    python export_zoo.py FOLDER    writes FOLDER/{efficientnet_lite0,mobilenet_v2}.onnx and prints how they classify real photos

Architectures: efficientnet_lite_builder.py of github.com/tensorflow/tpu (TensorFlow's SAME padding, batch norm epsilon 1e-3,
ReLU6, no squeeze-and-excite) and torchvision/models/mobilenetv2.py (padding 1, epsilon 1e-5, ReLU6). Needs assets/ (scripts/assets).
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pytorch_assets import ASSETS, legacy

# expansion, channels, blocks, stride of the first; kernels are those of the filters
LITE0 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 40, 2, 2), (6, 80, 3, 2), (6, 112, 3, 1), (6, 192, 4, 2), (6, 320, 1, 1)]
MOBILE_V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class Builder:
    def __init__(self, state, epsilon, same):
        self.state, self.epsilon, self.same = state, epsilon, same
        self.nodes, self.stored, self.read = [], [], set()

    def weight(self, name):
        if name not in self.read:
            self.read.add(name)
            self.stored.append(numpy_helper.from_array(np.ascontiguousarray(self.state[name]), name))
        return name

    def node(self, op, name, *inputs, **attributes):
        self.nodes.append(helper.make_node(op, list(inputs), [f"{name}_output"], name=name, **attributes))
        return f"{name}_output"

    def conv(self, x, conv, norm, stride=1, activation=True):
        m, per_group, k, _ = self.state[f"{conv}.weight"].shape
        group = m if per_group == 1 else 1
        pads = {"auto_pad": "SAME_UPPER"} if self.same else {"pads": [k // 2] * 4}
        x = self.node("Conv", conv, x, self.weight(f"{conv}.weight"), kernel_shape=[k, k], strides=[stride] * 2, group=group, **pads)
        statistics = [self.weight(f"{norm}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        x = self.node("BatchNormalization", norm, x, *statistics, epsilon=self.epsilon)
        return self.node("Clip", f"{norm}.relu6", x, "zero", "six") if activation else x

    def finish(self, x, classifier):
        x = self.node("Flatten", "flatten", self.node("GlobalAveragePool", "pool", x))
        x = self.node("Gemm", classifier, x, self.weight(f"{classifier}.weight"), self.weight(f"{classifier}.bias"), transB=1)
        left = {name for name in self.state if not name.endswith("num_batches_tracked")} - self.read
        assert not left, f"tensors of the checkpoint are not part of the network: {left}"
        numbers = [numpy_helper.from_array(np.float32(value), name) for name, value in (("zero", 0), ("six", 6))]
        info = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(
            self.nodes, "export", [info("input", ["batch", 3, 224, 224])], [info(x, ["batch", 1000])], self.stored + numbers
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def efficientnet_lite0():
    b = Builder(dict(legacy(ASSETS / "efficientnet_lite0.pth")), 1e-3, same=True)
    x, channels, number = b.conv("input", "_conv_stem", "_bn0", stride=2), 32, 0
    for expansion, out, blocks, first_stride in LITE0:
        for block in range(blocks):
            stride, name, shortcut = first_stride if block == 0 else 1, f"_blocks.{number}", x
            if expansion > 1:
                x = b.conv(x, f"{name}._expand_conv", f"{name}._bn0")
            x = b.conv(x, f"{name}._depthwise_conv", f"{name}._bn1", stride)
            x = b.conv(x, f"{name}._project_conv", f"{name}._bn2", activation=False)
            if stride == 1 and channels == out:
                x = b.node("Add", f"{name}.add", x, shortcut)
            channels, number = out, number + 1
    return b.finish(b.conv(x, "_conv_head", "_bn1"), "_fc")


def mobilenet_v2():
    b = Builder(dict(legacy(ASSETS / "mobilenet_v2.pth")), 1e-5, same=False)
    x, channels, number = b.conv("input", "features.0.0", "features.0.1", stride=2), 32, 1
    for expansion, out, blocks, first_stride in MOBILE_V2:
        for block in range(blocks):
            stride, name, shortcut, part = first_stride if block == 0 else 1, f"features.{number}.conv", x, 0
            if expansion > 1:
                x, part = b.conv(x, f"{name}.0.0", f"{name}.0.1"), 1
            x = b.conv(x, f"{name}.{part}.0", f"{name}.{part}.1", stride)
            x = b.conv(x, f"{name}.{part + 1}", f"{name}.{part + 2}", activation=False)
            if stride == 1 and channels == out:
                x = b.node("Add", f"{name}.add", shortcut, x)
            channels, number = out, number + 1
    return b.finish(b.conv(x, "features.18.0", "features.18.1"), "classifier.1")


def centre(path, resample):
    """The middle of a photo as both networks were evaluated: 256 pixels on the short side, of these 224."""
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], resample)
    left, top = ((side - 224) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32).transpose(2, 0, 1)


def lite_input(path):
    return (centre(path, Image.Resampling.BICUBIC) - 127) / 128


def mobile_input(path):
    mean, std = (np.float32(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return (centre(path, Image.Resampling.BILINEAR) / 255 - mean) / std


NETWORKS = {"efficientnet_lite0": (efficientnet_lite0, lite_input), "mobilenet_v2": (mobilenet_v2, mobile_input)}


def photos():
    """Photos with their ImageNet class."""
    return [(path, int(path.stem.split("_")[-1])) for path in sorted((ASSETS / "imagenet").glob("*.jpg"))]


def judge(name):
    """The model, its inputs for all photos, their classes, and the logits by onnxruntime."""
    import onnxruntime

    build, prepare = NETWORKS[name]
    model = build()
    x = np.stack([prepare(path) for path, _ in photos()]).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": x})
    return model, x, np.array([label for _, label in photos()]), logits


if __name__ == "__main__":
    for name in NETWORKS:
        model, _, labels, logits = judge(name)
        onnx.save(model, Path(sys.argv[1]) / f"{name}.onnx")
        print(f"{name}: {(logits.argmax(1) == labels).mean():.2f} of {len(labels)} photos are classified right")
