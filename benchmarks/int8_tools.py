"""The tools whose int8 files are compared, each in an environment of its own, at the settings it offers."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from int8_answers import input_turn
from int8_nets import Net
from measured import Cost, measure
from peers import (
    AEQ_REQUIREMENTS,
    ONNX2TF_TENSORFLOW,
    ONNX2TF_TEST_IMAGES,
    ONNX2TF_TEST_IMAGES_COUNT,
    ONNX2TF_TEST_IMAGES_SIDE,
)

from model_sources.environments import environment, find_python

WORKERS = Path(__file__).with_name("int8_workers")
ONNX_REQUIREMENTS = ("nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.32.0")
TARGET = "arm64"
CONVERTER = Path(sys.executable).with_name("edgewise")


@dataclass(frozen=True)
class Job:
    """One network, ready for every tool."""

    net: Net
    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def calibration(self) -> Path:
        return self.folder / "calibration.npy"

    def float_tflite(self) -> Path:
        """Our float32 file, which the tools for TFLite files start from."""
        path = self.folder / "float.tflite"
        if not path.exists():
            words = ["convert", self.model, "--target", TARGET, "--precision", "fp32", "--out", path]
            measure([CONVERTER, *words, *self.net.options], folder=self.folder)
        return path

    def inputs_like(self, shape: tuple[int, ...]) -> Path:
        """The calibration samples in the layout of an input of this shape."""
        samples = np.load(self.calibration, mmap_mode="r")
        turn = input_turn(samples.shape[1:], shape)
        path = self.folder / f"calibration-{'-'.join(map(str, turn))}.npy"
        if not path.exists():
            np.save(path, samples.transpose(0, *(axis + 1 for axis in turn)))
        return path


@dataclass(frozen=True)
class Tool:
    """One tool at one setting."""

    name: str
    version: str
    setting: str
    suffix: str
    make: Callable[[Job, Path], Cost]
    """Writes the file. Raises CommandFailed."""

    @property
    def label(self) -> str:
        return f"{self.name} {self.setting}".strip().replace(" ", "-")


def edgewise(job: Job, out: Path) -> Cost:
    """`edgewise convert` as a user types it."""
    words: list[str | Path] = [CONVERTER, "convert", job.model, "--target", TARGET, "--precision", "int8"]
    words += ["--samples", job.calibration, "--out", out, *job.net.options]
    return measure(words, folder=job.folder)


def _worker(
    python: Path, script: str, source: Path, inputs: Path, out: Path, settings: Mapping[str, str]
) -> Cost:
    words: list[str | Path] = [python, WORKERS / script, source, inputs, out, json.dumps(settings)]
    return measure(words, folder=out.parent, variables={"OMP_NUM_THREADS": "1"}, wanted=out)


def _onnx_tool(script: str, settings: Mapping[str, str]) -> Callable[[Job, Path], Cost]:
    def make(job: Job, out: Path) -> Cost:
        python = environment("nncf", ONNX_REQUIREMENTS, python=find_python("3.12", "3.11") or sys.executable)
        return _worker(python, script, job.model, job.calibration, out, settings)

    return make


def _aeq(settings: Mapping[str, str]) -> Callable[[Job, Path], Cost]:
    def make(job: Job, out: Path) -> Cost:
        python = environment("ai-edge-quantizer", AEQ_REQUIREMENTS)
        source = job.float_tflite()
        inputs = job.inputs_like(tflite_input_shape(source))
        return _worker(python, "ai_edge_quantizer.py", source, inputs, out, settings)

    return make


def _tensorflow(settings: Mapping[str, str]) -> Callable[[Job, Path], Cost]:
    def make(job: Job, out: Path) -> Cost:
        command = ONNX2TF_TENSORFLOW.install()
        saved = job.folder / "saved-model"
        if not (saved / "saved_model.pb").exists():
            _save_for_tensorflow(job, command, saved)
        (floats,) = saved.glob("*_float32.tflite")
        inputs = job.inputs_like(tflite_input_shape(floats))
        return _worker(command.with_name("python"), "tensorflow_lite.py", saved, inputs, out, settings)

    return make


def _save_for_tensorflow(job: Job, command: Path, saved: Path) -> None:
    """By onnx2tf, from a copy (it overwrites its input); axes are kept where there is no picture."""
    shutil.rmtree(saved, ignore_errors=True)
    copy = job.folder / "for-tensorflow.onnx"
    shutil.copyfile(job.model, copy)
    # It looks for such a file beside it, and downloads it otherwise; only its own trial of the result uses it.
    side = ONNX2TF_TEST_IMAGES_SIDE
    images = np.random.default_rng(0).random((ONNX2TF_TEST_IMAGES_COUNT, side, side, 3), np.float32)
    np.save(job.folder / ONNX2TF_TEST_IMAGES, images)
    import onnx

    name = onnx.load(job.model, load_external_data=False).graph.input[0].name
    words: list[str | Path] = [command, "-i", copy, "-o", saved, "-n"]
    words += [] if len(job.net.shape) == 4 else ["-kat", name]
    variables = {"PATH": f"{command.parent}:/usr/bin:/bin"}
    measure(words, folder=job.folder, variables=variables, wanted=saved / "saved_model.pb")


def tflite_input_shape(path: Path) -> tuple[int, ...]:
    """The shape of a TFLite file's only input."""
    from ai_edge_litert.interpreter import Interpreter

    return tuple(int(n) for n in Interpreter(str(path)).get_input_details()[0]["shape"])


def _qdq(ranges: str, operators: str, activations: str) -> Tool:
    settings = {"ranges": ranges, "operators": operators, "activations": activations}
    said = f"{ranges.lower()}, {operators} operators, {'uint8' if 'U' in activations else 'int8'}"
    return Tool("onnxruntime", "1.32.0", said, ".onnx", _onnx_tool("onnxruntime_qdq.py", settings))


def _nncf(preset: str, bias: str, ranges: str = "", *, transformer: bool = False) -> Tool:
    settings = {"preset": preset, "bias": bias, "ranges": ranges, "transformer": "yes" if transformer else ""}
    said = ", ".join([preset, f"{bias} bias correction", *([ranges.lower()] if ranges else [])])
    said += ", transformer" if transformer else ""
    return Tool("NNCF", "3.4.0", said, ".onnx", _onnx_tool("nncf_ptq.py", settings))


def _aeq_tool(algorithm: str, ranges: str) -> Tool:
    settings = {"algorithm": algorithm, "ranges": ranges}
    said = f"{algorithm.lower().removesuffix('_uniform_quant')} weights, {ranges} ranges"
    return Tool("ai-edge-quantizer", "0.10.0", said, ".tflite", _aeq(settings))


EDGEWISE = Tool("Edgewise", "", "", ".tflite", edgewise)
PEERS = (
    _qdq("MinMax", "all", "QUInt8"),
    _qdq("MinMax", "heavy", "QUInt8"),
    _qdq("Percentile", "heavy", "QUInt8"),
    _qdq("Percentile", "all", "QUInt8"),
    _nncf("mixed", "fast"),
    _nncf("mixed", "accurate"),
    _nncf("mixed", "none"),
    _nncf("mixed", "none", "MINMAX"),
    _nncf("performance", "fast"),
    _nncf("mixed", "fast", transformer=True),
    _aeq_tool("MIN_MAX_UNIFORM_QUANT", "moving average"),
    _aeq_tool("MIN_MAX_UNIFORM_QUANT", "minmax"),
    _aeq_tool("MSE", "minmax"),
    _aeq_tool("OCTAV", "minmax"),
    Tool("TensorFlow", "2.19", "mlir quantizer", ".tflite", _tensorflow({"quantizer": "mlir"})),
    Tool("TensorFlow", "2.19", "old quantizer", ".tflite", _tensorflow({"quantizer": "old"})),
)
