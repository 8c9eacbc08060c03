"""How near a quantized file's answers are to the float model's, on the same inputs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from ai_edge_litert.interpreter import Interpreter

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Quality:
    """Agreement with the float model over all photos."""

    top1_agreement: float
    sqnr_db: float
    photos: int


def float_answers(onnx_file: Path, images_nchw: FloatArray) -> FloatArray:
    """The original's logits, float32 (photos, classes), by onnxruntime."""
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[np.newaxis]})[0] for image in images_nchw])


def tflite_answers(file: Path, images_nhwc: FloatArray) -> FloatArray:
    """A TFLite file's logits, dequantized, float32 (photos, classes), by LiteRT.

    The input is quantized when the file wants integers, and transposed when it wants channels first.
    """
    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for image in images_nhwc:
        batch = image[np.newaxis]
        if tuple(source["shape"]) != batch.shape:
            batch = batch.transpose(0, 3, 1, 2)
        interpreter.set_tensor(source["index"], _quantize(batch, source))
        interpreter.invoke()
        answers.append(_dequantize(interpreter.get_tensor(sink["index"]), sink))
    return np.concatenate(answers)


def compare(answers: FloatArray, reference: FloatArray) -> Quality:
    """Top-1 agreement and the signal-to-quantization-noise ratio over all logits of all photos."""
    agreement = float(np.mean(answers.argmax(1) == reference.argmax(1)))
    noise = np.square(reference - answers, dtype=np.float64).sum()
    signal = np.square(reference, dtype=np.float64).sum()
    return Quality(agreement, float(10 * np.log10(signal / noise)) if noise else float("inf"), len(reference))


def _quantize(values: FloatArray, details: dict[str, Any]) -> npt.NDArray[Any]:
    kind = np.dtype(details["dtype"])
    if kind.kind == "f":
        return values.astype(kind)
    scale, zero_point = details["quantization"]
    limits = np.iinfo(kind)
    integers: npt.NDArray[Any] = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    return integers.astype(kind)


def _dequantize(values: npt.NDArray[Any], details: dict[str, Any]) -> FloatArray:
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    scale, zero_point = details["quantization"]
    numbers: FloatArray = ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)
    return numbers
