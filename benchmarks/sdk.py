#!/usr/bin/env python3
"""What the SDK costs beside the bare runtime, and what it saves beside the usual way: ratios of one run.

Usage: sdk.py [--only PART ...] [--photos 200] [--predictions 100000] [--swaps 1000] [--json]

overhead: Model.run and predict of tensors beside set_tensor, invoke and get_tensor on the same tiny network, in turns.
loading: load, and load with a probe in a child.
photos: a JPEG of 12 MP and one of 1080p to the five likeliest classes with EfficientNet-Lite0 in int8, beside PIL's
open, convert and resize, NumPy, and the interpreter; the same with near ties decoded whole; and the usual way with a
resize in exact arithmetic. The photos are those of models_and_data.py, enlarged, with grain.
memory: resident memory over many predictions and many swaps.
mediapipe: the same JPEGs and network beside MediaPipe's ImageClassifier; see sdk_mediapipe.py.
sharing, pipeline, first: several models in one process, and first calls; see sdk_sharing.py.
Times are processor time, except those of loading and of sdk_sharing.py: waiting for a busy computer does not count.
They are those of this computer's processor and say nothing about ARM.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sdk_mediapipe import mediapipe
from sdk_photos import bare_interpreter, ends_of, photos
from sdk_sharing import first_calls, pipeline, sharing

import edgewise
from edgewise.tensors import Array
from edgewise.testing import write_tiny_model

PARTS = ("overhead", "loading", "photos", "memory", "sharing", "pipeline", "first", "mediapipe")
ROUNDS, CALLS = 100, 1000
LOADS = 20
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
            "mediapipe": lambda: mediapipe(folder, options.photos),
        }
        found = {part: parts[part]() for part in options.only or parts}
    print(json.dumps(found) if options.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
