#!/usr/bin/env python3
"""Pre-processing alone: an array in memory to a normalised float32 tensor of 224 x 224, ours beside the usual way.

Usage: pixels.py [--photos 10] [--rounds 20] [--json]

The usual way is Pillow's fromarray and bilinear resize, then NumPy. Both are held against the antialiased resize in
exact arithmetic (tests/exact_filter.py). Frames are photos of models_and_data.py, enlarged, with grain. Ways take
turns; times are processor time of the whole process, and the ratios are what to read. Ours is measured with
and without the resize in C (preprocess/kernel.py).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from sdk_photos import decoded, enlarged, exact_resize, grain_of

import models_and_data
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.image import ImageReader
from edgewise.tensors import Array

FRAMES = {
    "640x480": (640, 480),
    "1280x720": (1280, 720),
    "1080p": (1920, 1080),
    "12 MP": (4000, 3000),
}
SIZE_WH = (224, 224)
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def usual(frame: Array) -> Array:
    """What one writes by hand."""
    pixels = np.asarray(Image.fromarray(frame).resize(SIZE_WH, Image.Resampling.BILINEAR), np.float32)
    tensor: Array = (pixels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return tensor[np.newaxis]


def compared(frames: list[Array], rounds: int) -> dict[str, Any]:
    """Milliseconds, their ratio, and the distance from the exact resize in pixel values, 0 to 255."""
    spec = ImagePreprocess(SIZE_WH, mean=MEAN, std=STD)
    ways: dict[str, Callable[[Array], Array]] = {
        "edgewise": ImageReader(spec).read,
        "edgewise without the kernel": ImageReader(spec, compiled=False).read,
        "usual": usual,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for frame in frames:
        exact = exact_resize(frame, SIZE_WH)
        for name, way in ways.items():
            off = np.abs(way(frame)[0].astype(np.float64) * STD + MEAN - exact)
            errors[name].append((float(off.mean()), float(off.max())))
        for _ in range(rounds):
            for name, way in ways.items():
                start = time.process_time()
                way(frame)
                times[name].append((time.process_time() - start) * 1000)
    return {
        "median_ms": {name: statistics.median(spans) for name, spans in times.items()},
        "median_ratio": {
            name: statistics.median(times["usual"]) / statistics.median(spans)
            for name, spans in times.items()
        },
        "least_ratio": {name: min(times["usual"]) / min(spans) for name, spans in times.items()},
        "mean_error": {name: statistics.mean(mean for mean, _ in found) for name, found in errors.items()},
        "max_error": {name: max(most for _, most in found) for name, found in errors.items()},
    }


def main() -> None:
    """Measure every size, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="One JSON object.")
    options = parser.parse_args()
    files = sorted(models_and_data.grocery_photos("calibration").iterdir())[: options.photos]
    found = {}
    for name, size_wh in FRAMES.items():
        grain = grain_of(size_wh, np.random.default_rng(0))[: size_wh[1]]
        frames = [decoded(enlarged(file, size_wh, grain)) for file in files]
        found[name] = compared(frames, options.rounds)
    print(json.dumps(found) if options.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
