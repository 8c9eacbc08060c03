"""JPEG files to the likeliest class beside MediaPipe's ImageClassifier, with the same network. Called by sdk.py.

MediaPipe stands in an environment and a process of its own. It takes no int8 input, so it is given the same network
with uint8 ends, with the standard metadata that every file of ours carries. The two take turns, round after round;
times are processor time of all threads, ours having one, and by the clock, with the threads that each takes
when nobody says.
"""

import json
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sdk_photos import SIZES, TIMED_PHOTOS, convert_lite0, enlarged, grain_of

import edgewise
import models_and_data
from model_sources.environments import environment

MEDIAPIPE = ("mediapipe==1.2.3",)
WORKER = Path(__file__).with_name("mediapipe_worker.py")
ROUNDS = 5


@dataclass(frozen=True)
class Peer:
    """MediaPipe with its file of the network."""

    python: Path
    model: Path

    def classify(self, photos: Path, times: int) -> dict[str, list[dict[str, Any]]]:
        """By way to an image: photo, ms, clock_ms and label of each call."""
        words = [self.python, WORKER, self.model, photos, times]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
        found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
        return found


def mediapipe(folder: Path, count: int) -> dict[str, Any]:
    """Both on every size: times of some photos, first answers of all."""
    path = convert_lite0(folder / "lite0-int8.tflite")
    peer = Peer(
        environment("mediapipe", MEDIAPIPE), convert_lite0(folder / "lite0-uint8.tflite", ends="uint8")
    )
    files = sorted(models_and_data.grocery_photos("held-out").iterdir())[:count]
    found = {}
    with edgewise.load(path, threads=1) as model, edgewise.load(path) as usual:
        for name, size_wh in SIZES.items():
            few, all_ = folder / "few", folder / "all"
            write_photos(files, size_wh, few=few, all_=all_)
            found[name] = {**timed(model, usual, peer, few), **answers(model, peer, all_)}
            shutil.rmtree(few)
            shutil.rmtree(all_)
    return found


def write_photos(files: list[Path], size_wh: tuple[int, int], *, few: Path, all_: Path) -> None:
    """The photos of sdk_photos.py as files, and the first of them in a folder of their own."""
    rng = np.random.default_rng(0)
    grain = grain_of(size_wh, rng)
    few.mkdir()
    all_.mkdir()
    for index, file in enumerate(files):
        photo = enlarged(file, size_wh, grain[int(rng.integers(size_wh[1])) :][: size_wh[1]])
        (all_ / f"{index:03}.jpg").write_bytes(photo)
        if index < TIMED_PHOTOS:
            (few / f"{index:03}.jpg").write_bytes(photo)


def timed(model: edgewise.Model, usual: edgewise.Model, peer: Peer, photos: Path) -> dict[str, Any]:
    """Medians and ratios over rounds in which each had its turn."""
    spent: dict[str, list[float]] = {}
    passed: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for path in sorted(photos.iterdir()):
            start = time.process_time()
            model.predict(path)
            spent.setdefault("edgewise", []).append((time.process_time() - start) * 1000)
        for path in sorted(photos.iterdir()):
            start = time.perf_counter()
            usual.predict(path)
            passed.setdefault("edgewise", []).append((time.perf_counter() - start) * 1000)
        for way, calls in peer.classify(photos, 1).items():
            spent.setdefault(f"mediapipe, {way}", []).extend(call["ms"] for call in calls)
            passed.setdefault(f"mediapipe, {way}", []).extend(call["clock_ms"] for call in calls)
    return {"processor": ratios(spent), "by_the_clock": ratios(passed)}


def ratios(times: dict[str, list[float]]) -> dict[str, Any]:
    """Milliseconds, and how many times ours."""
    median = {name: statistics.median(spans) for name, spans in times.items()}
    return {
        "median_ms": median,
        "least_ms": {name: min(spans) for name, spans in times.items()},
        "median_ratio": {name: span / median["edgewise"] for name, span in median.items()},
    }


def answers(model: edgewise.Model, peer: Peer, photos: Path) -> dict[str, Any]:
    """How many first answers are those of edgewise."""
    ours = {path.name: model.predict(path).top.label for path in photos.iterdir()}
    same = {
        way: sum(call["label"] == ours[call["photo"]] for call in calls)
        for way, calls in peer.classify(photos, 1).items()
    }
    return {"photos": len(ours), "same_first_answer": same}
