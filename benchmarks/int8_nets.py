"""Trained networks for comparing int8: where each comes from, what it is fed, what its answers mean."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import int8_samples
import onnx
import onnx.version_converter
from int8_samples import Split

import models_and_data
from edgewise.model_card import ImagePreprocess
from model_sources import more_models

PER_CHANNEL_OPSET = 13
"""From it on QuantizeLinear has scales per channel; peers quantize older models per tensor."""


@dataclass(frozen=True)
class Net:
    """One trained network and its samples."""

    name: str
    source: Callable[[], Path]
    shape: tuple[int, ...]
    """Of its one input; the original may leave it open."""
    samples: Callable[[], Split]
    classes_axis: int | None = None
    """The axis of its first output along which the greatest is the answer; None for what does not classify."""
    options: tuple[str, ...] = field(default=())
    """What a user would tell `edgewise convert` besides the samples."""

    def write(self, path: Path) -> None:
        """The original with its input of a fixed shape, in opset 13 or newer: what every tool gets."""
        model = onnx.load(self.source())
        initialized = {tensor.name for tensor in model.graph.initializer}
        (value,) = [value for value in model.graph.input if value.name not in initialized]
        for dim, size in zip(value.type.tensor_type.shape.dim, self.shape, strict=True):
            dim.Clear()
            dim.dim_value = size
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        del model.graph.value_info[:]
        _constants_to_initializers(model.graph)
        if model.opset_import[0].version < PER_CHANNEL_OPSET:
            model = onnx.version_converter.convert_version(model, PER_CHANNEL_OPSET)
        onnx.save(onnx.shape_inference.infer_shapes(model, data_prop=True), path)


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Weights in Constant nodes become initializers: peers do not take them for weights otherwise."""
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        value = node.attribute[0]
        if value.name == "value":
            value.t.name = node.output[0]
            graph.initializer.append(value.t)
            graph.node.remove(node)


def _classifier(name: str, source: Callable[[], Path], size: int) -> Net:
    spec = ImagePreprocess((size, size), "centre-crop", 0.875, mean=(127.0,), std=(128.0,))
    return Net(
        name,
        source,
        (1, 3, size, size),
        lambda: int8_samples.photos(spec, 100, 200),
        1,
        ("--preprocess", "mean=127;std=128"),
    )


def _rapidocr(file: str) -> Callable[[], Path]:
    return lambda: more_models.rapidocr() / file


_SIGNED = ("--preprocess", "signed;resize=stretch")
_TEXT = ("--preprocess", "signed;resize=stretch", "--task", "tensors")

NETS = {
    net.name: net
    for net in (
        _classifier("EfficientNet-Lite0", models_and_data.efficientnet_lite0_onnx, 224),
        _classifier("EfficientNet-Lite1", models_and_data.efficientnet_lite1_onnx, 240),
        _classifier("EfficientNet-Lite2", models_and_data.efficientnet_lite2_onnx, 260),
        Net(
            "PP-OCR direction",
            _rapidocr("ch_ppocr_mobile_v2.0_cls_infer.onnx"),
            (1, 3, 48, 192),
            lambda: int8_samples.lines_of_text(192, 100, 400, turned=True),
            1,
            _SIGNED,
        ),
        Net(
            "PP-OCRv4 recognizer",
            _rapidocr("ch_PP-OCRv4_rec_infer.onnx"),
            (1, 3, 48, 320),
            lambda: int8_samples.lines_of_text(320, 60, 40, turned=False),
            2,
            _TEXT,
        ),
        Net(
            "PP-OCRv4 detector",
            _rapidocr("ch_PP-OCRv4_det_infer.onnx"),
            (1, 3, 320, 320),
            lambda: int8_samples.photos_with_text(320, 50, 30),
            options=_TEXT,
        ),
        Net(
            "PP-OCRv6 tiny detector",
            lambda: models_and_data.tinyocr() / "PP-OCRv6_det_tiny.onnx",
            (1, 3, 320, 320),
            lambda: int8_samples.photos_with_text(320, 50, 30),
            options=_TEXT,
        ),
        Net(
            "PP-OCRv6 tiny recognizer",
            lambda: models_and_data.tinyocr() / "PP-OCRv6_rec_tiny.onnx",
            (1, 3, 48, 320),
            lambda: int8_samples.lines_of_text(320, 60, 40, turned=False),
            2,
            _TEXT,
        ),
        Net(
            "YuNet",
            models_and_data.yunet_onnx,
            (1, 3, 640, 640),
            lambda: int8_samples.photos(
                ImagePreprocess((640, 640), "stretch", colour="bgr", mean=(0.0,), std=(1.0,)), 40, 20
            ),
            options=("--preprocess", "raw;colour=bgr;resize=stretch"),
        ),
        Net(
            "YOLOv8n (NudeNet)",
            more_models.nudenet_onnx,
            (1, 3, 320, 320),
            lambda: int8_samples.photos(
                ImagePreprocess((320, 320), "stretch", mean=(0.0,), std=(255.0,)), 50, 30
            ),
            options=("--preprocess", "unit;resize=stretch"),
        ),
        Net(
            "basic-pitch",
            models_and_data.basic_pitch_onnx,
            (1, 43844, 1),
            lambda: int8_samples.singing(43844, 40, 20),
        ),
        Net("magika", more_models.magika_onnx, (1, 2048), lambda: int8_samples.file_bytes(100, 100), 1),
    )
}
