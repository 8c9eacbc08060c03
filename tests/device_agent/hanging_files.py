"""A real model that does not come back from blue pictures: an ONNX loop of a number of turns that the picture says."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import edgewise
from edgewise.golden import GoldenCase
from edgewise.model_card import IMAGE_CLASSIFICATION, Golden, ImagePreprocess, ModelCard, TensorCard

FOREVER = 1e15
"""Turns; at a microsecond each these are thirty years."""
SIDE = 8
LABELS = ("red", "green", "blue")


def write_looping_model(path: Path, name: str, *, turns: float = FOREVER) -> Path:
    """Names a picture's strongest colour; for blue ones it first makes so many turns. Its golden cases are not blue."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, SIDE, SIDE, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["scores.plain"], axes=[1, 2], keepdims=0),
        helper.make_node("Gather", ["scores.plain", "blue"], ["blueness"], axis=1),
        helper.make_node("Greater", ["blueness", "much"], ["is_blue"]),
        helper.make_node("Cast", ["is_blue"], ["as_number"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["as_number", "turns"], ["wanted"]),
        helper.make_node("Cast", ["wanted"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["whole"], ["trips"]),
        helper.make_node("Loop", ["trips", "", "seed"], ["end"], body=_body()),
        helper.make_node("Mul", ["end", "nothing"], ["none"]),
        helper.make_node("Add", ["scores.plain", "none"], ["scores"]),
    ]
    constants = {
        "blue": np.array([2], np.int64),
        "much": np.array(0.9, np.float32),
        "turns": np.array(turns, np.float64),
        "seed": np.array(1.0, np.float32),
        "nothing": np.array(0.0, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        name,
        [image],
        [scores],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(network)
    golden = tuple(_case(colour) for colour in range(2))
    card = ModelCard(
        name=name,
        task=IMAGE_CLASSIFICATION,
        inputs=(
            TensorCard(
                "image",
                (1, SIDE, SIDE, 3),
                "float32",
                layout="nhwc",
                image=ImagePreprocess((SIDE, SIDE), std=(255.0,)),
            ),
        ),
        outputs=(TensorCard("scores", (1, 3), "float32"),),
        labels=LABELS,
        golden=Golden(cases=len(golden), tolerance_db=60.0),
    )
    edgewise.write_model(path, network.SerializeToString(), card=card, golden=golden)
    return path


def _case(colour: int) -> GoldenCase:
    picture = np.zeros((1, SIDE, SIDE, 3), np.float32)
    picture[..., colour] = 1.0
    return GoldenCase({"image": picture}, {"scores": picture.mean(axis=(1, 2))})


def _body() -> onnx.GraphProto:
    """One turn: a sine, which no optimizer leaves out."""
    scalar = helper.make_tensor_value_info
    return helper.make_graph(
        [
            helper.make_node("Identity", ["goes_on"], ["goes_on_still"]),
            helper.make_node("Sin", ["value"], ["next"]),
        ],
        "turn",
        [
            scalar("turn", TensorProto.INT64, []),
            scalar("goes_on", TensorProto.BOOL, []),
            scalar("value", TensorProto.FLOAT, []),
        ],
        [scalar("goes_on_still", TensorProto.BOOL, []), scalar("next", TensorProto.FLOAT, [])],
    )
