"""What trained networks answer to a photo of an astronaut, and networks that always answer the same."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from onnx import helper, numpy_helper
from PIL import Image

import models_and_data
from model_sources import more_models
from reference_heads.raw_outputs import Arrays, Case

FAINT = 0.05
"""Where the score is lower the answer is set to 0 (for logits to -20): it is no candidate, and zeros pack well."""


def nudenet_answer() -> np.ndarray:
    """[1, 22, 2100] of a YOLOv8n."""
    tensor = _photo(320).transpose(2, 0, 1)[np.newaxis] / np.float32(255)
    (answer,) = onnxruntime.InferenceSession(str(more_models.nudenet_onnx())).run(None, {"images": tensor})
    return np.asarray(answer)


def yunet_maps() -> Arrays:
    """The twelve maps at 640 px, by OpenCV's names and in its order, of several sizes of the photo on one page."""
    page = np.full((640, 640, 3), 128, np.float32)
    for x, y, side in ((0, 0, 400), (400, 0, 240), (420, 260, 200), (0, 420, 120), (200, 410, 220)):
        page[y : y + side, x : x + side] = _photo(side)
    session = onnxruntime.InferenceSession(str(models_and_data.yunet_onnx()))
    tensor = page[np.newaxis, :, :, ::-1].transpose(0, 3, 1, 2).copy()
    names = [output.name for output in session.get_outputs()]
    maps = dict(zip(names, session.run(names, {session.get_inputs()[0].name: tensor}), strict=True))
    for stride in (8, 16, 32):
        seen = np.sqrt(maps[f"cls_{stride}"] * maps[f"obj_{stride}"]) > FAINT
        for kind in ("cls", "obj", "bbox", "kps"):
            maps[f"{kind}_{stride}"] = np.where(seen, maps[f"{kind}_{stride}"], np.float32(0))
    return maps


def blazeface_answer() -> Arrays:
    """Regressors [1, 896, 16] and logits [1, 896, 1] of MediaPipe's short range network."""
    folder = models_and_data.SOURCES["faces"].make()
    interpreter = Interpreter(str(folder / "face_detection_front.tflite"))
    interpreter.allocate_tensors()
    tensor = _photo(128)[np.newaxis] / np.float32(127.5) - np.float32(1)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(spec["index"]) for spec in interpreter.get_output_details()]
    regressors, logits = sorted(outputs, key=lambda output: -output.shape[2])
    seen = logits > np.log(FAINT / (1 - FAINT))
    return {
        "regressors": np.where(seen, regressors, np.float32(0)),
        "classificators": np.where(seen, logits, np.float32(-20)),
    }


def _photo(side: int) -> np.ndarray:
    """float32 [side, side, 3], 0 to 255."""
    with Image.open(models_and_data.astronaut_photo()) as photo:
        return np.asarray(photo.convert("RGB").resize((side, side)), np.float32)


def with_network(case: Case) -> Case:
    """The case with, as only raw output, the bytes of a .tflite file that gives its outputs to any picture."""
    with TemporaryDirectory() as folder:
        source, made = Path(folder) / "answers.onnx", Path(folder) / "answers.tflite"
        onnx.save(_answering(case.raw, case.input_wh), str(source))
        edgewise = Path(sys.executable).with_name("edgewise")
        words = [
            "convert",
            source,
            "--target",
            "rpi4",
            "--precision",
            "fp32",
            "--layout",
            "nhwc",
            "--out",
            made,
        ]
        subprocess.run([edgewise, *words], check=True, capture_output=True)
        return replace(case, raw={"tflite": np.frombuffer(made.read_bytes(), np.uint8)})


def _answering(answers: Mapping[str, np.ndarray], size_wh: tuple[int, int]) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, size_wh[1], size_wh[0], 3])
    nodes = [
        helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "none"], ["zero"]),
        *(helper.make_node("Add", [f"{name}.answer", "zero"], [name]) for name in answers),
    ]
    constants = [numpy_helper.from_array(array, f"{name}.answer") for name, array in answers.items()]
    constants.append(numpy_helper.from_array(np.float32(0), "none"))
    outputs = [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v.shape) for k, v in answers.items()]
    graph = helper.make_graph(nodes, "answers", [image], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
