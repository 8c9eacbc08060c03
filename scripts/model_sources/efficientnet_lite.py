"""EfficientNet-Lite as ONNX graphs, built from their trained weights without torch.

The structure is the published one: the block table of EfficientNet-B0 (Tan and Le 2019, table 1) without
squeeze-and-excitation, ReLU6 for Swish, stem and head not scaled (TensorFlow's
efficientnet/lite/efficientnet_lite_builder.py). Weight names are those of the PyTorch port; widths are those of the
weights.
Batch normalization stays a node of its own, as trained: folding it is the converter's work.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_sources.state_dict import Array
from model_sources.wheels import SourceError

CLASS_COUNT = 1000
OPSET = 13
IR_VERSION = 8
BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True)
class Stage:
    """One row of the block table."""

    repeats: int
    kernel: int
    stride: int
    expansion: int


STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expansion=1),
    Stage(repeats=2, kernel=3, stride=2, expansion=6),
    Stage(repeats=2, kernel=5, stride=2, expansion=6),
    Stage(repeats=3, kernel=3, stride=2, expansion=6),
    Stage(repeats=3, kernel=5, stride=1, expansion=6),
    Stage(repeats=4, kernel=5, stride=2, expansion=6),
    Stage(repeats=1, kernel=3, stride=1, expansion=6),
)


@dataclass(frozen=True)
class Variant:
    """One member of the family."""

    name: str
    image_size: int
    depth: float
    """How often the inner stages repeat their blocks, in units of Lite0."""

    def repeats(self, index: int) -> int:
        """Blocks of a stage; the first and the last are never deepened."""
        inner = 0 < index < len(STAGES) - 1
        return math.ceil(STAGES[index].repeats * self.depth) if inner else STAGES[index].repeats


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("efficientnet_lite0", 224, 1.0),
        Variant("efficientnet_lite1", 240, 1.1),
        Variant("efficientnet_lite2", 260, 1.2),
    )
}


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis, before and after: the odd pixel goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@dataclass
class _Builder:
    weights: Mapping[str, Array]
    size: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str) -> str:
        if name not in self.weights:
            raise SourceError(f"EfficientNet-Lite: the state dict has no tensor {name!r}.")
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(self.weights[name]), name)
        return name

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x: str, name: str, *, stride: int = 1, depthwise: bool = False) -> str:
        weight = self.weights[f"{name}.weight"]
        kernel = int(weight.shape[2])
        before, after = same_pads(self.size, kernel, stride)
        self.size = -(-self.size // stride)
        inputs = [x, self.constant(f"{name}.weight")]
        return self.node(
            "Conv",
            inputs,
            name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=int(weight.shape[0]) if depthwise else 1,
        )

    def batch_norm(self, x: str, name: str) -> str:
        parts = ("weight", "bias", "running_mean", "running_var")
        inputs = [x, *(self.constant(f"{name}.{part}") for part in parts)]
        return self.node("BatchNormalization", inputs, name, epsilon=BATCH_NORM_EPSILON)

    def relu6(self, x: str) -> str:
        for name, value in (("relu6.min", 0.0), ("relu6.max", 6.0)):
            self.constants[name] = numpy_helper.from_array(np.array(value, np.float32), name)
        return self.node("Clip", [x, "relu6.min", "relu6.max"], f"{x}.relu6")

    def block(self, x: str, prefix: str, stage: Stage, *, stride: int, residual: bool) -> str:
        inside = x
        if stage.expansion != 1:
            inside = self.conv(inside, f"{prefix}._expand_conv")
            inside = self.relu6(self.batch_norm(inside, f"{prefix}._bn0"))
        inside = self.conv(inside, f"{prefix}._depthwise_conv", stride=stride, depthwise=True)
        inside = self.relu6(self.batch_norm(inside, f"{prefix}._bn1"))
        inside = self.batch_norm(self.conv(inside, f"{prefix}._project_conv"), f"{prefix}._bn2")
        return self.node("Add", [inside, x], f"{prefix}.add") if residual else inside


def efficientnet_lite(variant: Variant, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The model: 'image', float32 [1, 3, size, size] of (pixel - 127) / 128, to 'logits', float32 [1, 1000]."""
    net = _Builder(weights, variant.image_size)
    x = net.relu6(net.batch_norm(net.conv("image", "_conv_stem", stride=2), "_bn0"))
    index = 0
    for number, stage in enumerate(STAGES):
        for repeat in range(variant.repeats(number)):
            stride = stage.stride if repeat == 0 else 1
            x = net.block(x, f"_blocks.{index}", stage, stride=stride, residual=repeat > 0)
            index += 1
    x = net.relu6(net.batch_norm(net.conv(x, "_conv_head"), "_bn1"))
    x = net.node("Flatten", [net.node("GlobalAveragePool", [x], "pool")], "flat", axis=1)
    net.node("Gemm", [x, net.constant("_fc.weight"), net.constant("_fc.bias")], "logits", transB=1)
    return _model(net, variant)


def _model(net: _Builder, variant: Variant) -> onnx.ModelProto:
    size = variant.image_size
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASS_COUNT])
    constants = list(net.constants.values())
    graph = helper.make_graph(net.nodes, variant.name, [image], [logits], constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="edgewise"
    )
    onnx.checker.check_model(model, full_check=True)
    return model
