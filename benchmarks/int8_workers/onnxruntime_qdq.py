"""Static int8 by onnxruntime's quantizer: MODEL.onnx INPUTS.npy OUT.onnx SETTINGS.json.

It runs in that tool's own environment; nothing of the project imports it. The steps are those of
`quantize_static`, with the samples given in parts: its histograms otherwise keep every activation of every sample.
"""

import json
import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

PART = 5
HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm")


class Part(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Some of the samples."""

    def __init__(self, name: str, samples: np.ndarray) -> None:
        self.feeds = iter([{name: np.ascontiguousarray(sample)} for sample in samples])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def main() -> None:
    source, inputs, out, settings_text = sys.argv[1:]
    settings = json.loads(settings_text)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        try:
            quant_pre_process(source, str(prepared), skip_symbolic_shape=True)
        except Exception as error:  # its optimizer refuses some models: then they go in as they are
            print(f"not preprocessed: {error}", file=sys.stderr)
            prepared = Path(source)
        quantize(prepared, np.load(inputs, mmap_mode="r"), out, settings, Path(folder))


def quantize(prepared: Path, samples: np.ndarray, out: str, settings: dict[str, str], folder: Path) -> None:
    model = onnx.load(prepared)
    kinds = {node.op_type for node in model.graph.node}
    every = set(QDQRegistry) | set(QLinearOpsRegistry)
    chosen = sorted(kinds & (set(HEAVY) if settings["operators"] == "heavy" else every))
    calibrator = create_calibrator(
        prepared,
        chosen,
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=CalibrationMethod[settings["ranges"]],
        extra_options={"symmetric": False, "percentile": 99.999, "num_bins": 2048},
    )
    name = model.graph.input[0].name
    for start in range(0, len(samples), PART):
        calibrator.collect_data(Part(name, samples[start : start + PART]))
    ranges = calibrator.compute_data()
    try:
        write(model, ranges, chosen, out, settings, adjusts_weights=True)
    except ValueError as error:  # its adjustment of weights to biases fails on some models
        print(f"without adjusting weights to biases: {error}", file=sys.stderr)
        write(onnx.load(prepared), ranges, chosen, out, settings, adjusts_weights=False)


def write(
    model: onnx.ModelProto,
    ranges: object,
    chosen: list[str],
    out: str,
    settings: dict[str, str],
    *,
    adjusts_weights: bool,
) -> None:
    options = {"ActivationSymmetric": False, "WeightSymmetric": True}
    options["QDQDisableWeightAdjustForInt32Bias"] = not adjusts_weights
    activations = QuantType[settings["activations"]]
    quantizer = QDQQuantizer(
        model, True, False, QuantType.QInt8, activations, ranges, [], [], chosen, options
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(out, False)


if __name__ == "__main__":
    main()
