"""The model card of a conversion."""

from dataclasses import dataclass
from importlib import metadata

from edgewise.detection_card import YOLOV8
from edgewise.errors import CardError
from edgewise.model_card import (
    IMAGE_CLASSIFICATION,
    TENSORS,
    TOP1_ACCURACY,
    TOP1_AGREEMENT,
    Golden,
    ImagePreprocess,
    ModelCard,
    Quality,
    Source,
    TensorCard,
)  # fmt: skip
from edgewise.pose_card import HEATMAP, SIMCC, PoseCard
from edgewise_converters import readers
from edgewise_converters.agreement import Agreement
from edgewise_converters.errors import ConversionError
from edgewise_converters.intervals import Interval
from edgewise_converters.lower.layout import CHANNELS_LAST, Layout
from edgewise_converters.survey import Accuracy
from edgewise_converters.tflite.graph import Graph, Tensor

GOLDEN_TOLERANCE_DB = {
    "fp32": 80.0,
    "fp16": 60.0,
    "weights8": 80.0,
    "dynamic": 30.0,
    "int8": 20.0,
    "mixed": 20.0,
    "mixed16": 20.0,
    "int16x8": 30.0,
    "int4": 30.0,
}
"""How near a device's answers must come to the golden ones.

int8 is bit-identical on 64-bit boards in LiteRT; tflite-runtime rounds products twice and is 29 to 31 dB away
(docs/arm.md).
Dynamic-range int8 differs by up to 0.8 % between boards.
"""
_FLOAT16_ARITHMETIC_DB = 30.0
"""EfficientNet-Lite0 computed in float16 by a Cortex-A76 is 40 dB from its answers in float32 (docs/converter.md)."""
_KEEP_MEANING = frozenset({"RESHAPE", "QUANTIZE", "DEQUANTIZE"})
_TOOLS = ("edgewise", "onnx-ir", "onnxruntime", "ai-edge-litert")


@dataclass(frozen=True)
class Tensors:
    """What the card says of a model's inputs and outputs."""

    inputs: tuple[TensorCard, ...]
    outputs: tuple[TensorCard, ...]


def tensor_card(
    tensor: Tensor,
    layout: Layout,
    *,
    image: ImagePreprocess | None = None,
    image_layout: str = "",
    activation: str = "",
) -> TensorCard:
    """What the card says of one input or output of the written file."""
    named = "nhwc" if layout == CHANNELS_LAST and len(tensor.shape) == 4 else image_layout
    return TensorCard(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype.name,
        layout=named,
        quantization=tensor.quantization,
        image=image,
        activation=activation,
        source_name=tensor.name,
    )


def golden_tolerance_db(precision: str, *, fp16_arithmetic: bool) -> float:
    """The tolerance of a precision (its first word) on a device that may have float16 arithmetic."""
    kind = precision.split()[0]
    return _FLOAT16_ARITHMETIC_DB if fp16_arithmetic and kind == "fp16" else GOLDEN_TOLERANCE_DB[kind]


def quality_of(
    agreement: Agreement, measured_on: str, accuracy: Accuracy | None = None
) -> tuple[Quality, ...]:
    """Agreement with the original, and accuracy where it was measured, as the card's figures."""
    figures = [
        Quality(
            "worst output SNR against the original",
            round(agreement.worst_db, 2),
            "dB",
            measured_on,
            agreement.cases,
        ),
        Quality(
            "worst output cosine",
            round(min(o.cosine for o in agreement.outputs), 6),
            "",
            measured_on,
            agreement.cases,
        ),
    ]
    if accuracy is not None:
        figures += _accuracy_figures(accuracy, measured_on)
    elif (top1 := agreement.top1_interval) is not None:
        figures.append(_share(TOP1_AGREEMENT, top1, measured_on, agreement.distinct))
    return tuple(figures)


def _accuracy_figures(accuracy: Accuracy, measured_on: str) -> list[Quality]:
    shares = [(TOP1_AGREEMENT, accuracy.agreement, accuracy.samples)]
    if accuracy.original and accuracy.converted and accuracy.drop:
        shares += [
            (TOP1_ACCURACY, accuracy.converted, accuracy.labelled),
            ("top-1 accuracy of the original", accuracy.original, accuracy.labelled),
            ("top-1 accuracy lost", accuracy.drop, accuracy.labelled),
        ]
    return [_share(title, share, measured_on, count) for title, share, count in shares]


def _share(title: str, share: Interval, measured_on: str, count: int) -> Quality:
    value, low, high = (round(number, 4) for number in (share.value, share.low, share.high))
    return Quality(title, value, "", measured_on, count, low, high)


def tool_versions() -> dict[str, str]:
    """Versions of what took part."""
    return {name: metadata.version(name) for name in _TOOLS}


def source_of(source: "readers.Source") -> Source:
    """Where the model came from, without the folders of the machine it was converted on."""
    return Source(source.path.name, source.sha256, source.format, source.opset)


def pose_card(head: str, shape: tuple[int, ...], labels: int) -> PoseCard:
    """The card of a pose network whose first output has this shape: how many points it gives is told by it."""
    points = 17
    if head in (HEATMAP, SIMCC) and len(shape) > 2:
        points = shape[1]
    elif head == YOLOV8 and len(shape) == 3:
        points = (
            min(shape[1:]) - 4 - max(labels, 1)
        ) // 3  # a box, its classes, and x, y, score of each point
    try:
        return PoseCard(head, keypoints=points)
    except CardError as error:
        raise ConversionError(f"--head {head}: an output of {list(shape)} is none of its: {error}") from error


def task_of(graph: Graph, *, takes_images: bool, labels: int, asked: str | None) -> str:
    """image-classification for one picture in and one vector of scores out, unless told otherwise."""
    if asked:
        return asked
    shape = graph.outputs[0].shape
    one_vector = (
        len(graph.outputs) == 1
        and len(graph.inputs) == 1
        and shape[:-1] in ((1,), (1, 1, 1))
        and shape[-1] > 1
    )
    fits = labels == shape[-1] if labels else True
    return IMAGE_CLASSIFICATION if takes_images and one_vector and fits else TENSORS


def activation_of(graph: Graph, tensor: Tensor) -> str:
    """probabilities behind a softmax, else logits."""
    producer = graph.producers().get(id(tensor))
    while producer is not None and producer.kind in _KEEP_MEANING and producer.inputs[0] is not None:
        producer = graph.producers().get(id(producer.inputs[0]))
    return "probabilities" if producer is not None and producer.kind == "SOFTMAX" else "logits"


__all__ = [
    "GOLDEN_TOLERANCE_DB", "IMAGE_CLASSIFICATION", "TENSORS", "Golden", "ModelCard", "activation_of", "pose_card",
    "quality_of", "source_of", "task_of", "tensor_card", "tool_versions",
]  # fmt: skip
