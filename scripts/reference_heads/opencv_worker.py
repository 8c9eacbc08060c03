"""What OpenCV's FaceDetectorYN makes of YuNet's maps: it runs a network that answers with them to any picture."""

import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import helper, numpy_helper

from reference_heads.exchange import Answer, serve


def decode(facts: dict[str, Any], raw: dict[str, np.ndarray], picture_wh: tuple[int, int]) -> Answer:
    """By the detector's own thresholds and suppression."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "maps.onnx"
        onnx.save(answering_network(raw, picture_wh), str(path))
        detector = cv2.FaceDetectorYN.create(
            str(path), "", picture_wh, facts["score"], facts["overlap"], 5000
        )
        faces = detector.detect(np.zeros((picture_wh[1], picture_wh[0], 3), np.uint8))[1]
    faces = np.zeros((0, 15), np.float32) if faces is None else faces
    return {
        "boxes": np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:4]], axis=1),
        "scores": faces[:, 14],
        "classes": np.zeros(len(faces), np.int64),
        "points": faces[:, 4:14].reshape(-1, 5, 2),
    }


def answering_network(raw: dict[str, np.ndarray], size_wh: tuple[int, int]) -> onnx.ModelProto:
    """Pools the picture, multiplies it by zero and adds the answer: OpenCV folds no constant outputs away so."""
    width, height = size_wh
    image = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, height, width])
    constants = {"zeros": np.zeros((1, 3, 1, 1), np.float32), "shape": np.array([1, 1, 1])}
    nodes = [
        helper.make_node("AveragePool", ["input"], ["pooled"], kernel_shape=[height, width]),
        helper.make_node("Conv", ["pooled", "zeros"], ["one"], kernel_shape=[1, 1]),
        helper.make_node("Reshape", ["one", "shape"], ["zero"]),
    ]
    for name, array in raw.items():
        constants[f"{name}.answer"] = array
        nodes.append(helper.make_node("Add", ["zero", f"{name}.answer"], [name]))
    outputs = [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v.shape) for k, v in raw.items()]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "maps", [image], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)


if __name__ == "__main__":
    serve(decode)
