"""Detection models with cards, out of real networks and out of answers that a test makes up."""

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewise.model_card import (
    OBJECT_DETECTION,
    POSE_ESTIMATION,
    DetectionCard,
    ImagePreprocess,
    ModelCard,
    TensorCard,
)
from edgewise.model_file import read_model, write_model
from edgewise.pose_card import PoseCard

NUDENET_INPUT = ImagePreprocess((320, 320), "letterbox", std=(255.0,))
YUNET_INPUT = ImagePreprocess((640, 640), "letterbox", colour="bgr")


def answering_onnx(size_wh: tuple[int, int], answers: Mapping[str, np.ndarray]) -> bytes:
    """An ONNX model that gives these answers to every picture of this size, [1, height, width, 3]."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, size_wh[1], size_wh[0], 3])
    outputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in answers.items()
    ]
    nodes = [helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0)]
    nodes += [helper.make_node("Mul", ["sum", "none"], ["zero"])]
    for name, array in answers.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        nodes.append(helper.make_node("Cast", ["zero"], [f"{name}.zero"], to=kind))
        nodes.append(helper.make_node("Add", [f"{name}.answer", f"{name}.zero"], [name]))
    constants = [numpy_helper.from_array(array, f"{name}.answer") for name, array in answers.items()]
    constants.append(numpy_helper.from_array(np.float32(0), "none"))
    graph = helper.make_graph(nodes, "answers", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def card_for(
    network: Path | bytes,
    image: ImagePreprocess,
    *,
    layout: str = "nhwc",
    task: str = OBJECT_DETECTION,
    labels: tuple[str, ...] = (),
    detection: DetectionCard | None = None,
) -> ModelCard:
    """A card with the tensors of an ONNX file."""
    model = onnx.load_from_string(network) if isinstance(network, bytes) else onnx.load(network)

    def tensor(value: onnx.ValueInfoProto, **more: object) -> TensorCard:
        kind = value.type.tensor_type
        shape = tuple(size.dim_value or -1 for size in kind.shape.dim)
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
        return TensorCard(value.name, shape, dtype, **more)  # type: ignore[arg-type]  # keywords by name, checked when called

    return ModelCard(
        name="detector",
        task=task,
        inputs=(tensor(model.graph.input[0], layout=layout, image=image),),
        outputs=tuple(tensor(output) for output in model.graph.output),
        labels=labels,
        detection=detection,
    )


def write_answering(
    path: Path,
    answers: Mapping[str, np.ndarray],
    *,
    size_wh: tuple[int, int] = (64, 64),
    task: str = OBJECT_DETECTION,
    labels: tuple[str, ...] = (),
    detection: DetectionCard | None = None,
) -> Path:
    """A model file that gives these answers to every picture, which it stretches."""
    network = answering_onnx(size_wh, answers)
    card = card_for(network, ImagePreprocess(size_wh), task=task, labels=labels, detection=detection)
    write_model(path, network, card=card)
    return path


def write_posing(
    path: Path, answers: Mapping[str, np.ndarray], pose: PoseCard, size_wh: tuple[int, int] = (64, 64)
) -> Path:
    """A pose model with a card that gives these answers to every picture, which it stretches."""
    network = answering_onnx(size_wh, answers)
    card = card_for(network, ImagePreprocess(size_wh), task=POSE_ESTIMATION)
    write_model(path, network, card=replace(card, pose=pose))
    return path


def nudenet_labels(nudenet: Path) -> tuple[str, ...]:
    """The 18 classes, as the file's own metadata_props name them."""
    names: dict[int, str] = ast.literal_eval(read_model(nudenet).properties["names"])
    return tuple(names[index] for index in range(18))


def write_yunet(path: Path, yunet: Path) -> Path:
    """YuNet with a card."""
    card = card_for(
        yunet, YUNET_INPUT, layout="nchw", labels=("face",), detection=DetectionCard("yunet", 0.6, 0.3)
    )
    write_model(path, yunet.read_bytes(), card=card)
    return path


def write_nudenet(path: Path, nudenet: Path) -> Path:
    """NudeNet's YOLOv8n with a card."""
    card = card_for(
        nudenet,
        NUDENET_INPUT,
        layout="nchw",
        labels=nudenet_labels(nudenet),
        detection=DetectionCard("yolov8", 0.2),
    )
    write_model(path, nudenet.read_bytes(), card=card)
    return path
