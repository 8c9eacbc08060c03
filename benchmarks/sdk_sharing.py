"""Several models in one process, by the clock and by processor time, and first calls: parts of sdk.py."""

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
from PIL import Image

import edgewise
import models_and_data
from edgewise import ImagePreprocess, Pipeline, ThreadBudget
from edgewise.testing import write_tiny_model
from edgewise.threads import default_threads
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

ROUNDS = 12
SECONDS = 0.5
"""Of one way in one round."""
STARTS = 8
"""Fresh processes for each way of a first call."""
LITE0 = ImagePreprocess((224, 224), mean=(127.0,), std=(128.0,))
YUNET = ImagePreprocess((640, 640), "letterbox", colour="bgr")
FIRST_CALL = """
import sys, time
import numpy as np
import edgewise
from edgewise import ImagePreprocess
tiny, path, warm_up, cache = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] or None
edgewise.load(tiny, threads=1).close()  # imports
preprocess = ImagePreprocess((224, 224), mean=(127.0,), std=(128.0,))
how = dict(threads=1, preprocess=preprocess, task="image-classification", warm_up=warm_up)
began = time.process_time()
model = edgewise.load(path, weight_cache=cache, **how)
loaded = time.process_time()
pixels = np.zeros((480, 640, 3), np.uint8)
spans = []
for _ in range(20):
    start = time.process_time()
    model.predict(pixels)
    spans.append(time.process_time() - start)
status = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("RssAnon"))
print(loaded - began, spans[0], sorted(spans[1:])[len(spans) // 2], status["RssAnon"].split()[0])
"""


def networks(folder: Path) -> tuple[Path, Path]:
    """EfficientNet-Lite0 as a .tflite file in float32, and as the .onnx file it was made of."""
    source, path = models_and_data.efficientnet_lite0_onnx(), folder / "lite0.tflite"
    convert(Request(source=source, target="rpi4", precision="fp32", out=path))
    return path, source


def sharing(folder: Path) -> dict[str, Any]:
    """Two models, each called by a thread of its own: calls a second when each takes all cores, and when they share."""
    tflite, onnx = networks(folder)
    cores = default_threads()
    return {
        "cores": cores,
        "litert and litert": _two_models(tflite, tflite, cores),
        "litert and onnxruntime": _two_models(tflite, onnx, cores),
        "onnxruntime and onnxruntime": _two_models(onnx, onnx, cores),
    }


def _two_models(first: Path, second: Path, cores: int) -> dict[str, Any]:
    budget = ThreadBudget(cores)
    half = budget.share(max(cores // 2, 1))
    ways: dict[str, Any] = {
        "each takes all": (cores, cores),
        "each takes all, asleep when idle": (ThreadBudget(cores), ThreadBudget(cores)),
        "taking turns": (budget, budget),
        "halves": (half, half),
    }
    pairs = {
        name: tuple(
            edgewise.load(path, threads=how) for path, how in zip((first, second), threads, strict=True)
        )
        for name, threads in ways.items()
    }
    rates: dict[str, list[Rate]] = {name: [] for name in pairs}
    for _ in range(ROUNDS):
        for name, models in pairs.items():
            rates[name].append(_rate([_runs_of(model) for model in models]))
    for models in pairs.values():
        for model in models:
            model.close()
    return _beside(rates, "each takes all")


def _runs_of(model: edgewise.Model) -> Callable[[], object]:
    array = np.zeros(model.inputs[0].shape, np.float32)
    return lambda: model.run(array)


@dataclass(frozen=True)
class Rate:
    """How many calls all threads together made."""

    per_s: float
    per_processor_s: float
    """What idle threads spin away counts too; what other processes take does not."""


def _rate(calls: list[Callable[[], object]]) -> Rate:
    """Each call by a thread of its own, again and again, at the same time."""
    counts = [0] * len(calls)
    together = Barrier(len(calls) + 1)

    def work(place: int) -> None:
        calls[place]()
        together.wait()
        ends = time.perf_counter() + SECONDS
        while time.perf_counter() < ends:
            calls[place]()
            counts[place] += 1

    threads = [Thread(target=work, args=[place]) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    together.wait()
    began, busy = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    done = sum(counts)
    return Rate(done / (time.perf_counter() - began), done / (time.process_time() - busy))


def _beside(rates: Mapping[str, list[Rate]], reference: str) -> dict[str, Any]:
    """As ratios to one way in the same round: median and quartiles."""
    found: dict[str, Any] = {}
    for name, rounds in rates.items():
        found[name] = {}
        for what in ("per_s", "per_processor_s"):
            values = [getattr(rate, what) for rate in rounds]
            others = [getattr(rate, what) for rate in rates[reference]]
            ratios = [value / other for value, other in zip(values, others, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            found[name][what] = {
                "ratio": round(middle, 2),
                "quartiles": (round(low, 2), round(high, 2)),
                "calls": round(statistics.median(values), 1),
            }
    return found


def pipeline(folder: Path) -> dict[str, Any]:
    """Faces, and an embedding of each: pictures a second of two pipelines in one process."""
    tflite, _ = networks(folder)
    cores = default_threads()
    budget = ThreadBudget(cores)
    picture = _crowd()
    ways: dict[str, Any] = {"each takes all": cores, "one budget": budget}
    runs = {name: [_open_pipeline(tflite, threads) for _ in range(2)] for name, threads in ways.items()}
    rates: dict[str, list[Rate]] = {name: [] for name in runs}
    alone: dict[str, list[Rate]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, pair in runs.items():
            calls: list[Callable[[], object]] = [partial(one.predict, picture) for one in pair]
            alone[name].append(_rate(calls[:1]))
            rates[name].append(_rate(calls))
    return {
        "faces": len(runs["one budget"][0].predict(picture)),
        "one pipeline": _beside(alone, "each takes all"),
        "two pipelines": _beside(rates, "each takes all"),
    }


def _open_pipeline(tflite: Path, threads: Any) -> Pipeline:
    detector = edgewise.load(
        models_and_data.yunet_onnx(), threads=threads, preprocess=YUNET, head="yunet", score_threshold=0.6
    )
    embedder = edgewise.load(tflite, threads=threads, preprocess=LITE0, task="image-embedding")
    return Pipeline(detector, embedder, margin=0.2)


def _crowd() -> Image.Image:
    """The astronaut's portrait five times."""
    picture = Image.new("RGB", (640, 640), "grey")
    with Image.open(models_and_data.astronaut_photo()) as photo:
        for x, y, side in ((0, 0, 400), (400, 0, 240), (420, 260, 200), (0, 420, 120), (200, 410, 220)):
            picture.paste(photo.convert("RGB").resize((side, side)), (x, y))
    return picture


def first_calls(folder: Path) -> dict[str, Any]:
    """A first prediction in a fresh process beside later ones; load with a warm-up and with a weight cache."""
    tflite, _ = networks(folder)
    tiny = write_tiny_model(folder / "tiny.tflite")
    cache = folder / "cache"
    ways: dict[str, Callable[[], list[str]]] = {
        "plain": lambda: ["0", ""],
        "warm_up=1": lambda: ["1", ""],
        "weight_cache, first start": lambda: [shutil.rmtree(cache, ignore_errors=True) or "0", str(cache)],
        "weight_cache, later starts": lambda: ["0", str(cache)],
    }
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for _ in range(STARTS):
        for name, words in ways.items():
            done = subprocess.run(
                [sys.executable, "-c", FIRST_CALL, tiny, tflite, *words()],
                capture_output=True,
                text=True,
                check=True,
            )
            found[name].append([float(word) for word in done.stdout.split()])
    result: dict[str, Any] = {}
    for name, rows in found.items():
        load, first, later, anonymous_kb = (statistics.median(column) for column in zip(*rows, strict=True))
        result[name] = {
            "load_ms": load * 1000,
            "first_ms": first * 1000,
            "later_ms": later * 1000,
            "first_by_later": statistics.median(row[1] / row[2] for row in rows),
            "anonymous_mb": anonymous_kb / 1000,
        }
    return result
