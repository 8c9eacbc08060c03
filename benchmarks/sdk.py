#!/usr/bin/env python3
"""What the SDK costs beside the bare runtime, and what it saves beside the usual way: ratios of one run.

Usage: sdk.py [--only PART ...] [--photos 200] [--predictions 100000] [--swaps 1000] [--json]

overhead: Model.run and predict of tensors beside set_tensor, invoke and get_tensor on the same tiny network, in turns.
loading: load, and load with a probe in a child.
photos: a JPEG of 12 MP and one of 1080p to the five likeliest classes with EfficientNet-Lite0 in int8, beside PIL's
open, convert and resize, NumPy, and the interpreter. The photos are those of models_and_data.py, enlarged, with grain.
memory: resident memory over many predictions and many swaps.
sharing, pipeline, first: several models in one process, and first calls; see sdk_sharing.py.
Times are processor time, except those of loading and of sdk_sharing.py: waiting for a busy computer does not count.
They are those of this computer's processor and say nothing about ARM.
"""

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from sdk_sharing import first_calls, pipeline, sharing

import edgewise
import models_and_data
from edgewise.tensors import Array
from edgewise.testing import write_tiny_model
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

PARTS = ("overhead", "loading", "photos", "memory", "sharing", "pipeline", "first")
ROUNDS, CALLS = 100, 1000
SIZES = {"12 MP": (4000, 3000), "1080p": (1920, 1080)}
TIMED_PHOTOS, TIMES_EACH = 10, 5
LOADS = 20
GRAIN, JPEG_QUALITY = 6.0, 90
"""Standard deviation in pixel values. An enlarged photo without noise would be a smaller file than a camera's."""
MEAN, STD = 127.0, 128.0
SAMPLES = 20
"""Resident memory is looked at this often."""


def in_turns_us(calls: Mapping[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Microseconds a call, least and median over rounds in which each had its turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.thread_time()
            for _ in range(CALLS):
                call()
            found[name].append((time.thread_time() - start) / CALLS * 1e6)
    return {name: (min(times), statistics.median(times)) for name, times in found.items()}


def overhead(folder: Path) -> dict[str, Any]:
    """What Model.run adds to the three calls that everybody has to make."""
    path = write_tiny_model(folder / "tiny.tflite", size_wh=(1, 1))
    interpreter = bare_interpreter(path)
    given, result = (details[0]["index"] for details in ends_of(interpreter))
    model = edgewise.load(path, threads=1)
    plain = edgewise.load(path, threads=1, task="tensors")
    tensor = np.zeros(model.inputs[0].shape, np.float32)
    named = {"image": tensor}

    def bare() -> Array:
        interpreter.set_tensor(given, tensor)
        interpreter.invoke()
        answer: Array = interpreter.get_tensor(result)
        return answer

    calls = {
        "bare": bare,
        "run(array)": lambda: model.run(tensor),
        "run(dict)": lambda: model.run(named),
        "run(array, views=True)": lambda: model.run(tensor, views=True),
        "predict(array), task tensors": lambda: plain.predict(tensor),
    }
    times = in_turns_us(calls)
    least, median = times["bare"]
    return {
        "bare_us": times.pop("bare"),
        "overhead_us": {name: (low - least, middle - median) for name, (low, middle) in times.items()},
    }


def loading(folder: Path) -> dict[str, Any]:
    """Milliseconds to load a tiny model, here and after a probe in a child."""
    path = write_tiny_model(folder / "tiny.tflite")
    found: dict[str, list[float]] = {"load": [], "load with probe": []}
    for _ in range(LOADS):
        for name, times in found.items():
            start = time.perf_counter()
            edgewise.load(path, threads=1, probe=name != "load").close()
            times.append((time.perf_counter() - start) * 1000)
    return {name: (min(times), statistics.median(times)) for name, times in found.items()}


def bare_interpreter(path: Path) -> Any:
    """LiteRT as it is used without us, on one thread."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def ends_of(interpreter: Any) -> tuple[Any, Any]:
    """The details of its inputs and its outputs."""
    return interpreter.get_input_details(), interpreter.get_output_details()


class UsualWay:
    """What one writes by hand: open, RGB, resize, float, normalise, quantize, invoke, dequantize, sort."""

    def __init__(self, path: Path, labels: tuple[str, ...]) -> None:
        self._interpreter = bare_interpreter(path)
        inputs, outputs = ends_of(self._interpreter)
        self._given, self._result, self._labels = inputs[0], outputs[0], labels

    def __call__(self, photo: bytes) -> list[tuple[str, float]]:
        return self.answer(self.prepare(photo))

    def prepare(self, photo: bytes) -> Array:
        """From the file's bytes to the tensor."""
        picture = Image.open(io.BytesIO(photo)).convert("RGB")
        height, width = self._given["shape"][1:3]
        pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)
        tensor = (pixels - MEAN) / STD
        if self._given["dtype"] != np.float32:
            scale, zero_point = self._given["quantization"]
            tensor = np.clip(np.rint(tensor / scale) + zero_point, -128, 127).astype(self._given["dtype"])
        return tensor[np.newaxis]

    def answer(self, tensor: Array) -> list[tuple[str, float]]:
        """The five likeliest classes with their probabilities."""
        self._interpreter.set_tensor(self._given["index"], tensor)
        self._interpreter.invoke()
        scores = self._interpreter.get_tensor(self._result["index"])[0].astype(np.float32)
        if self._result["dtype"] != np.float32:
            scale, zero_point = self._result["quantization"]
            scores = (scores - zero_point) * scale
        exponents = np.exp(scores - scores.max())
        chances = exponents / exponents.sum()
        return [(self._labels[index], float(chances[index])) for index in np.argsort(-chances)[:5]]


def photos(folder: Path, count: int) -> dict[str, Any]:
    """Times as ratios, and how many first answers are the same."""
    path = folder / "lite0-int8.tflite"
    convert(
        Request(
            source=models_and_data.efficientnet_lite0_onnx(),
            target="rpi4",
            precision="int8",
            samples=models_and_data.grocery_photos("calibration"),
            preprocess=f"mean={MEAN:g};std={STD:g};resize=stretch",
            labels=models_and_data.labels_txt(),
            out=path,
        )
    )
    files = sorted(models_and_data.grocery_photos("held-out").iterdir())[:count]
    with edgewise.load(path, threads=1) as model:
        usual = UsualWay(path, model.labels)
        return {name: compared(model, usual, files, size_wh) for name, size_wh in SIZES.items()}


def compared(
    model: edgewise.Model, usual: UsualWay, files: list[Path], size_wh: tuple[int, int]
) -> dict[str, Any]:
    """Both ways over photos of one size: every one for its answer, some of them for their times."""
    rng = np.random.default_rng(0)
    grain = rng.normal(0, GRAIN, (size_wh[1] * 2, size_wh[0], 1)).astype(np.int8)
    reader = model.image_reader()
    ways: dict[str, Callable[[bytes], object]] = {
        "edgewise": lambda photo: model.predict(io.BytesIO(photo)),
        "usual": usual,
        "edgewise, tensor only": lambda photo: reader.read(io.BytesIO(photo)),
        "usual, tensor only": usual.prepare,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    bytes_, gaps = [], []
    for index, file in enumerate(files):
        photo = enlarged(file, size_wh, grain[int(rng.integers(size_wh[1])) :][: size_wh[1]])
        bytes_.append(len(photo))
        answers = usual(photo)
        if model.predict(io.BytesIO(photo)).top.label != answers[0][0]:
            gaps.append(round(answers[0][1] - answers[1][1], 3))
        for _ in range(TIMES_EACH if index < TIMED_PHOTOS else 0):
            for name, way in ways.items():
                start = time.thread_time()
                way(photo)
                times[name].append((time.thread_time() - start) * 1000)
    return {
        "photos": len(files),
        "same_first_answer": len(files) - len(gaps),
        "gaps_where_not": sorted(gaps),
        "mean_bytes": round(statistics.mean(bytes_)),
        **ratios(times),
    }


def ratios(times: Mapping[str, list[float]]) -> dict[str, Any]:
    """Milliseconds, least and median, and how many times faster than the usual way."""
    found: dict[str, Any] = {}
    for what, pick in (("least", min), ("median", statistics.median)):
        picked = {name: pick(spans) for name, spans in times.items()}
        found[f"{what}_ms"] = picked
        found[f"{what}_ratio"] = {
            "all": picked["usual"] / picked["edgewise"],
            "tensor only": picked["usual, tensor only"] / picked["edgewise, tensor only"],
        }
    return found


def enlarged(file: Path, size_wh: tuple[int, int], grain: Array) -> bytes:
    """A photo as a camera of this size would store it."""
    with Image.open(file) as picture:
        large = np.asarray(picture.convert("RGB").resize(size_wh, Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(large + grain, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def memory(folder: Path, predictions: int, swaps: int) -> dict[str, Any]:
    """Bytes of resident memory that one more prediction and one more swap take."""
    first = write_tiny_model(folder / "first.tflite", size_wh=(32, 32))
    second = write_tiny_model(folder / "second.tflite", size_wh=(32, 32), name="second")
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with edgewise.load(first, threads=1) as model:
        per_prediction = slope(predictions, lambda _: model.predict(picture))
        paths = (first, second)
        per_swap = slope(swaps, lambda index: model.swap(paths[index % 2], probe=False))
    return {"predictions": {"count": predictions, **per_prediction}, "swaps": {"count": swaps, **per_swap}}


def slope(count: int, work: Callable[[int], object]) -> dict[str, float]:
    """A line through resident memory, its first fifth left out: caches fill there."""
    resident = []
    step = max(count // SAMPLES, 1)
    for index in range(count):
        work(index)
        if (index + 1) % step == 0:
            resident.append((index, resident_bytes()))
    settled = np.array(resident[len(resident) // 5 :], np.float64)
    growth = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    return {
        "bytes_each": growth,
        "first_mb": float(settled[0, 1]) / 1e6,
        "last_mb": float(settled[-1, 1]) / 1e6,
    }


def resident_bytes() -> int:
    """proc(5), statm: the second figure, in pages of 4 kB on every machine meant here."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="One JSON object.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "overhead": lambda: overhead(folder),
            "loading": lambda: loading(folder),
            "photos": lambda: photos(folder, options.photos),
            "memory": lambda: memory(folder, options.predictions, options.swaps),
            "sharing": lambda: sharing(folder),
            "pipeline": lambda: pipeline(folder),
            "first": lambda: first_calls(folder),
        }
        found = {part: parts[part]() for part in options.only or parts}
    print(json.dumps(found) if options.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
