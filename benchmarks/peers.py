"""The tools we compare with, each in an environment of its own, at the settings that suit it best.

- onnx2tf 1.29 (newest for Python 3.11) converts through TensorFlow.
- onnx2tf 2.6 writes the file itself and needs Python 3.12. Its own validation refuses its per-channel int8 of
  EfficientNet-Lite0; where that happens per-tensor stands in for it.
- ai-edge-quantizer quantizes a TFLite file; it gets onnx2tf's.

Their calibration data comes as ready tensors, so decoding and resizing photos is not counted for them.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from measured import CommandFailed, Cost, measure

from model_sources.environments import environment, find_python
from model_sources.wheels import SourceError

FloatArray = npt.NDArray[np.float32]

# onnx2tf looks for this file beside it and downloads it otherwise, for RGB inputs even without quantization.
ONNX2TF_TEST_IMAGES = "calibration_image_sample_data_20x128x128x3_float32.npy"
ONNX2TF_TEST_IMAGES_COUNT = 20
ONNX2TF_TEST_IMAGES_SIDE = 128

_PATIENCE_S = 900

AEQ_REQUIREMENTS = ("ai-edge-quantizer==0.10.0",)


class PeerMissing(RuntimeError):
    """A peer cannot be installed here."""


@dataclass(frozen=True)
class Calibration:
    """The photos as tensors: normalised as the model wants them, float32 (photos, height, width, 3)."""

    images_nhwc: FloatArray
    mean: float
    std: float


@dataclass(frozen=True)
class Converted:
    """A file a peer wrote and what that cost."""

    file: Path
    cost: Cost
    note: str = ""


@dataclass(frozen=True)
class Onnx2tf:
    """One release of onnx2tf in its environment."""

    version: str
    environment_name: str
    pythons: tuple[str, ...]
    options: tuple[str, ...] = ()
    """What makes it cheapest on this model without changing its answers."""

    @property
    def name(self) -> str:
        return f"onnx2tf {self.version}"

    def install(self) -> Path:
        """Its command. Raises PeerMissing with the reason when it cannot be installed."""
        python = find_python(*self.pythons)
        if python is None:
            raise PeerMissing(
                f"{self.name}: needs Python {' or '.join(self.pythons)}, not found on this machine"
            )
        try:
            found = environment(self.environment_name, [f"onnx2tf=={self.version}"], python=python)
        except SourceError as error:
            raise PeerMissing(str(error)) from error
        return found.with_name("onnx2tf")

    def convert(self, onnx_file: Path, work: Path, data: Calibration, *, int8: bool, runs: int) -> Converted:
        """Run it in `work` on a copy of the model (it overwrites its input)."""
        command = self.install()
        work.mkdir(parents=True)
        images = self._write_images(work, data)
        options = ["-n", *self.options, *(_int8_options(images, data) if int8 else [])]
        run = partial(self._run, command, onnx_file, work, int8=int8, runs=runs)
        try:
            return run(options)
        except CommandFailed as error:
            if not int8:
                raise
            made = run([*options, "-qt", "per-tensor"])
            note = f"per-tensor, because per-channel wrote no file: {error}"
            return replace(made, note=f"{note}; per-tensor, {made.note}" if made.note else note)

    def convert_float(
        self,
        onnx_file: Path,
        work: Path,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        options: Sequence[str],
        runs: int,
    ) -> Converted:
        """Its float32 file of any model; ``shapes`` are those of open inputs. Raises CommandFailed."""
        command = self.install()
        work.mkdir(parents=True)
        side = ONNX2TF_TEST_IMAGES_SIDE
        np.save(work / ONNX2TF_TEST_IMAGES, np.zeros((ONNX2TF_TEST_IMAGES_COUNT, side, side, 3), np.float32))
        fixed = [f"{name}:{','.join(map(str, shape))}" for name, shape in shapes.items()]
        words = ["-n", *options, *(["-ois", *fixed] if fixed else [])]
        return self._run(command, onnx_file, work, words, int8=False, runs=runs)

    def _run(
        self, command: Path, onnx_file: Path, work: Path, options: Sequence[str], *, int8: bool, runs: int
    ) -> Converted:
        model, out = work / "model.onnx", work / "out"
        file = out / ("model_full_integer_quant.tflite" if int8 else "model_float32.tflite")

        def lay_out() -> None:
            shutil.rmtree(out, ignore_errors=True)
            shutil.copyfile(onnx_file, model)

        # The command looks for an `onnxsim` on PATH: it must be the one of its own environment.
        variables = {"PATH": f"{command.parent}:/usr/bin:/bin"}
        words: list[str | Path] = ["timeout", str(_PATIENCE_S), command, "-i", model, "-o", out, *options]
        cost = measure(words, folder=work, variables=variables, runs=runs, before_each=lay_out, wanted=file)
        if not file.exists():
            raise CommandFailed(f"{self.name}: exit status 0, but it wrote no {file.name}")
        note = f"it wrote the file and then failed: {cost.complaint}" if cost.complaint else ""
        return Converted(file, cost, note)

    def _write_images(self, work: Path, data: Calibration) -> Path:
        zero_to_one = (data.images_nhwc * data.std + data.mean) / 255
        np.save(work / "images.npy", zero_to_one.astype(np.float32))
        margin = (data.images_nhwc.shape[1] - ONNX2TF_TEST_IMAGES_SIDE) // 2
        middle = slice(margin, margin + ONNX2TF_TEST_IMAGES_SIDE)
        np.save(work / ONNX2TF_TEST_IMAGES, zero_to_one[:ONNX2TF_TEST_IMAGES_COUNT, middle, middle])
        return work / "images.npy"


def _int8_options(images: Path, data: Calibration) -> list[str]:
    triples = [f"[[[[{','.join([str(value / 255)] * 3)}]]]]" for value in (data.mean, data.std)]
    return ["-oiqt", "-cind", "image", str(images), *triples]


def quantize_with_aeq(float_file: Path, work: Path, data: Calibration, *, runs: int) -> Converted:
    """Static int8 by ai-edge-quantizer: per-channel weights, its standard recipe."""
    try:
        python = environment("ai-edge-quantizer", AEQ_REQUIREMENTS)
    except SourceError as error:
        raise PeerMissing(str(error)) from error
    work.mkdir(parents=True)
    inputs, out = work / "inputs.npy", work / "int8.tflite"
    np.save(inputs, data.images_nhwc)
    worker = Path(__file__).with_name("aeq_worker.py")
    cost = measure([python, worker, float_file, inputs, out], folder=work, runs=runs)
    return Converted(out, cost)


ONNX2TF_TENSORFLOW = Onnx2tf("1.29.24", "onnx2tf", ("3.11", "3.12"))
# Without onnx-simplifier, which this model does not need, it takes less than half; the TensorFlow one takes more.
ONNX2TF_DIRECT = Onnx2tf("2.6.9", "onnx2tf-2", ("3.12", "3.13"), ("-nuo",))
