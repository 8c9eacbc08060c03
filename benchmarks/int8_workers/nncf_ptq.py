"""Static int8 by NNCF: MODEL.onnx INPUTS.npy OUT.onnx SETTINGS.json.

It runs in that tool's own environment; nothing of the project imports it.
"""

import json
import sys
import tempfile

import nncf
import numpy as np
import onnx
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
from nncf.quantization.range_estimator import RangeEstimatorParameters, RangeEstimatorParametersSet
from onnx import numpy_helper
from onnxruntime.quantization.shape_inference import quant_pre_process


def main() -> None:
    source, inputs, out, settings_text = sys.argv[1:]
    settings = json.loads(settings_text)
    model = prepared(source)
    name = model.graph.input[0].name
    samples = np.load(inputs, mmap_mode="r")
    chosen = settings.get("ranges")
    ranges = getattr(RangeEstimatorParametersSet, chosen) if chosen else RangeEstimatorParameters()
    quantized = nncf.quantize(
        model,
        nncf.Dataset(range(len(samples)), lambda i: {name: np.ascontiguousarray(samples[i])}),
        preset=nncf.QuantizationPreset(settings["preset"]),
        subset_size=len(samples),
        fast_bias_correction=settings["bias"] != "accurate",
        model_type=nncf.ModelType.TRANSFORMER if settings.get("transformer") else None,
        advanced_parameters=AdvancedQuantizationParameters(
            disable_bias_correction=settings["bias"] == "none",
            activations_range_estimator_params=ranges,
        ),
    )
    store_integers(quantized.graph)
    onnx.save(quantized, out)


def prepared(source: str) -> onnx.ModelProto:
    """The model with what onnxruntime folds, such as batch norms; as it is where its optimizer refuses it."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/prepared.onnx"
        try:
            quant_pre_process(source, path, skip_symbolic_shape=True)
            return onnx.load(path)
        except Exception as error:
            print(f"not preprocessed: {error}", file=sys.stderr)
            return onnx.load(source)


def store_integers(graph: onnx.GraphProto) -> None:
    """Compute QuantizeLinear of constants: NNCF leaves weights in float for the runtime to round."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        if not all(name in constants for name in node.input):
            continue
        parts = [numpy_helper.to_array(constants[name]) for name in node.input]
        integers = quantize(*parts, axis=next((a.i for a in node.attribute if a.name == "axis"), 1))
        graph.initializer.append(numpy_helper.from_array(integers, node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def quantize(values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, *, axis: int) -> np.ndarray:
    if scale.ndim:
        shape = [1] * values.ndim
        shape[axis] = -1
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    limits = np.iinfo(zero_point.dtype)
    integers = np.rint(values / scale) + zero_point.astype(np.int32)
    return np.clip(integers, limits.min, limits.max).astype(zero_point.dtype)


if __name__ == "__main__":
    main()
