"""Classifies the JPEGs of a folder with MediaPipe's ImageClassifier: MODEL.tflite FOLDER TIMES, and JSON on stdout.

It runs in MediaPipe's own environment (see sdk_mediapipe.py); nothing of the project imports it. Both ways to an image
are taken: MediaPipe's own reader, and Pillow. The first photo is classified once before the clock runs.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions
from PIL import Image


def by_pillow(path: str) -> Any:
    """An image of MediaPipe from pixels that Pillow has decoded."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)


def timed(classify: Callable[[str], Any], path: str) -> dict[str, Any]:
    """Milliseconds of processor time of all threads and by the clock, and the likeliest class."""
    start, clock = time.process_time(), time.perf_counter()
    answer = classify(path)
    spent, passed = time.process_time() - start, time.perf_counter() - clock
    return {
        "ms": spent * 1000,
        "clock_ms": passed * 1000,
        "label": answer.classifications[0].categories[0].category_name,
    }


def main() -> None:
    model, folder, times = sys.argv[1:]
    paths = sorted(str(path) for path in Path(folder).glob("*.jpg"))
    options = ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model), max_results=5)
    with ImageClassifier.create_from_options(options) as classifier:
        ways: dict[str, Callable[[str], Any]] = {
            "its own reader": lambda path: classifier.classify(mediapipe.Image.create_from_file(path)),
            "pillow": lambda path: classifier.classify(by_pillow(path)),
        }
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
        for classify in ways.values():
            classify(paths[0])
        for path in paths:
            for _ in range(int(times)):
                for name, classify in ways.items():
                    found[name].append({"photo": Path(path).name, **timed(classify, path)})
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
