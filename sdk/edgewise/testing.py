"""For tests of what is built on edgewise: a tiny real model file, a backend that only repeats, a board of files.

The tiny model tells which colour is strongest in a picture, so tests know its right answers:

>>> from edgewise.testing import write_tiny_model
>>> from PIL import Image
>>> import edgewise, tempfile, pathlib
>>> folder = tempfile.TemporaryDirectory()
>>> path = write_tiny_model(pathlib.Path(folder.name) / "tiny.tflite")
>>> with edgewise.load(path) as model:
...     model.predict(Image.new("RGB", (64, 64), "lime")).top.label
'green'
>>> folder.cleanup()
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgewise import tflite_metadata, tiny_model
from edgewise.backends.base import check_inputs
from edgewise.detection_card import NMS, DetectionCard
from edgewise.golden import GoldenCase
from edgewise.model_card import (
    IMAGE_CLASSIFICATION,
    OBJECT_DETECTION,
    Golden,
    ImagePreprocess,
    ModelCard,
    TensorCard,
)
from edgewise.model_file import write_model
from edgewise.placement import PlacedOperator
from edgewise.tensors import Array, TensorSpec

TINY_LABELS = ("red", "green", "blue")


def tiny_card(
    *, form: str = "tflite", size_wh: tuple[int, int] = (8, 8), dtype: str = "float32", name: str = "tiny"
) -> ModelCard:
    """The card of the tiny model; pictures come in as pixels from 0 to 1, logits go out."""
    width, height = size_wh
    is_onnx = form == "onnx"
    shape = (1, 3, height, width) if is_onnx else (1, height, width, 3)
    return ModelCard(
        name=name,
        task=IMAGE_CLASSIFICATION,
        labels=TINY_LABELS,
        inputs=(
            TensorCard(
                tiny_model.INPUT,
                shape,
                dtype,
                layout="nchw" if is_onnx else "nhwc",
                quantization=tiny_model.INPUT_QUANTIZATION.get(dtype),
                image=ImagePreprocess(size_wh, mean=(0.0,), std=(255.0,)),
            ),
        ),
        outputs=(
            TensorCard(
                tiny_model.OUTPUT,
                (1, len(TINY_LABELS)),
                dtype,
                quantization=tiny_model.OUTPUT_QUANTIZATION.get(dtype),
                activation="logits",
            ),
        ),
        precision="int8" if dtype != "float32" else "fp32",
        golden=Golden(cases=2, tolerance_db=40.0),
    )


def write_tiny_model(
    path: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    size_wh: tuple[int, int] = (8, 8),
    name: str = "tiny",
    card: ModelCard | None = None,
    golden: Sequence[GoldenCase] | None = None,
) -> Path:
    """Write a model file that loads, predicts and passes its self-test; .onnx or .tflite by its suffix.

    ``dtype`` is float32, int8 or uint8 (float32 only for .onnx). ``card`` and ``golden`` replace its own,
    for tests that want a file that fails them.
    """
    path = Path(path)
    form = "onnx" if path.suffix == ".onnx" else "tflite"
    card = card or tiny_card(form=form, size_wh=size_wh, dtype=dtype, name=name)
    cases = tiny_golden(card) if golden is None else tuple(golden)
    card = replace(card, golden=replace(card.golden, cases=len(cases)) if card.golden and cases else None)
    classes = len(TINY_LABELS)
    if form == "onnx":
        network = tiny_model.onnx_model(size_wh, classes)
    else:
        metadata = tflite_metadata.encode(card)
        network = tiny_model.tflite_model(size_wh, classes, dtype=dtype, metadata=metadata)
    write_model(path, network, card=card, golden=cases)
    return path


def write_tiny_detector(path: str | os.PathLike[str], *, size_wh: tuple[int, int] = (8, 8)) -> Path:
    """Write a .tflite that finds "here" in the middle half of every picture, with the mean of green as score.

    So a red picture has nothing in it, and a lime one has something of score 1.
    """
    boxes = TensorCard(tiny_model.OUTPUT, (1, 6), "float32")
    card = replace(
        tiny_card(size_wh=size_wh, name="tiny detector"),
        task=OBJECT_DETECTION,
        labels=("here",),
        outputs=(boxes,),
        golden=None,
        detection=DetectionCard(NMS, score_threshold=0.5),
    )
    network = tiny_model.tflite_model(
        size_wh,
        6,
        metadata=tflite_metadata.encode(card),
        constants=tiny_model.detector_constants(size_wh),
    )
    write_model(path, network, card=card)
    return Path(path)


def tiny_golden(card: ModelCard) -> tuple[GoldenCase, ...]:
    """Two golden cases of the tiny model, computed by hand: a reddish and a bluish field."""
    given, result = card.inputs[0], card.outputs[0]
    cases = []
    for colour in ((0.8, 0.4, 0.2), (0.2, 0.4, 0.8)):
        channels = np.array(colour, np.float32)
        if given.layout == "nchw":
            channels = channels[:, np.newaxis, np.newaxis]
        field = np.broadcast_to(channels, given.shape).astype(np.float32)
        scores = np.array([colour], np.float32) * np.float32(tiny_model.GAIN)
        if given.quantization and result.quantization:
            field = given.quantization.quantize(field, given.dtype)
            scores = result.quantization.quantize(scores, result.dtype)
        cases.append(GoldenCase({given.name: field}, {result.name: scores}))
    return tuple(cases)


class FakeBackend:
    """A Backend that gives the same outputs to every input that fits, and remembers what it was given."""

    name = "fake"

    def __init__(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], answers: Sequence[Array]
    ) -> None:
        self._inputs, self._outputs, self._answers = tuple(inputs), tuple(outputs), list(answers)
        self.calls: list[list[Array]] = []
        self.is_open = True

    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` wants, in order."""
        return self._inputs

    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in order."""
        return self._outputs

    def run(self, inputs: Sequence[Array], *, views: bool = False) -> list[Array]:
        """The answers it was made with."""
        check_inputs(self._inputs, inputs)
        self.calls.append(list(inputs))
        return [answer if views else answer.copy() for answer in self._answers]

    def operators(self, inputs: Sequence[Array]) -> tuple[PlacedOperator, ...]:
        """One, for all of it."""
        return (PlacedOperator("FAKE", self._outputs[0].name if self._outputs else "", self.name),)

    def close(self) -> None:
        """Remember that it was closed."""
        self.is_open = False


class FakeEnergyMeter:
    """An EnergyMeter that says of every stretch what it was told to say, in turn, and then begins anew."""

    source = "a fake meter"

    def __init__(self, *energies_mj: float | None) -> None:
        self._energies_mj = energies_mj
        self.stretches = 0
        self.is_running = False

    def start(self) -> None:
        """Begin a stretch."""
        self.is_running = True

    def stop_mj(self) -> float | None:
        """End it."""
        self.is_running = False
        self.stretches += 1
        return self._energies_mj[(self.stretches - 1) % len(self._energies_mj)]


def write_board(
    root: Path,
    *,
    name: str = "Raspberry Pi 4 Model B Rev 1.4",
    part: str = "0xd08",
    features: str = "fp asimd evtstrm crc32 cpuid",
    cores: int = 4,
    governor: str = "ondemand",
    frequency_khz: int = 1_500_000,
    temperature_c: float = 48.5,
    throttled: str | None = "0",
    available_kb: int = 3_000_000,
) -> Path:
    """Write the files under /proc and /sys that `edgewise.device` reads of a board, below ``root``.

    ``part`` is the MIDR part number of its cores: 0xd03 is a Cortex-A53, 0xd08 an A72, 0xd0b an A76.
    ``throttled`` is what the firmware says, in hexadecimal; None for a system without it. Gives ``root`` back.
    """
    core = (
        "processor\t: {}\nBogoMIPS\t: 108.00\n"
        f"Features\t: {features}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n"
    )
    texts = {
        "proc/cpuinfo": "".join(core.format(index) for index in range(cores)) + f"Model\t\t: {name}\n",
        "proc/meminfo": f"MemTotal:        3884380 kB\nMemAvailable:    {available_kb} kB\n",
        "proc/loadavg": "0.10 0.20 0.30 1/100 1000\n",
        "proc/device-tree/model": f"{name}\0",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": f"{round(temperature_c * 1000)}\n",
    }
    for index in range(cores):
        clock = f"sys/devices/system/cpu/cpu{index}/cpufreq"
        texts[f"{clock}/scaling_governor"] = f"{governor}\n"
        texts[f"{clock}/scaling_cur_freq"] = f"{frequency_khz}\n"
    if throttled is not None:
        texts["sys/devices/platform/soc/soc:firmware/get_throttled"] = f"{throttled}\n"
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root
