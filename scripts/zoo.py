#!/usr/bin/env python3
"""Whole networks, trained and seeded, each with the shapes it is converted at.

Usage: zoo.py [NAME ...]. Prints the path of each file, made or fetched when first asked for; all without names.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import models_and_data
from export_nets import EXPORTS, NetLibrary
from model_sources import more_models
from model_sources.wheels import SourceError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Net:
    """One ONNX file."""

    name: str
    path: Callable[[], Path]
    is_trained: bool
    """Whether its weights were learned from data; else they are seeded."""
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """By name, of inputs of open shape."""
    values: Mapping[str, float] = field(default_factory=dict)
    """By name, inputs that are always the same number."""


_LINE = {"x": (1, 3, 48, 160)}
_PAGE = {"x": (1, 3, 320, 320)}
_SPEECH = {"input": (1, 576), "state": (2, 1, 128)}

TRAINED = (
    Net("efficientnet-lite0", models_and_data.efficientnet_lite0_onnx, True),
    Net("efficientnet-lite1", models_and_data.efficientnet_lite1_onnx, True),
    Net("efficientnet-lite2", models_and_data.efficientnet_lite2_onnx, True),
    Net("yunet", models_and_data.yunet_onnx, True),
    Net("nudenet (YOLOv8n)", more_models.nudenet_onnx, True, {"images": (1, 3, 320, 320)}),
    Net("PP-OCRv6 tiny detector", lambda: models_and_data.tinyocr() / "PP-OCRv6_det_tiny.onnx", True, _PAGE),
    Net("PP-OCRv6 tiny recognizer", lambda: models_and_data.tinyocr() / "PP-OCRv6_rec_tiny.onnx", True, _LINE),
    Net("PP-OCRv4 detector", lambda: more_models.rapidocr() / "ch_PP-OCRv4_det_infer.onnx", True, _PAGE),
    Net("PP-OCRv4 recognizer", lambda: more_models.rapidocr() / "ch_PP-OCRv4_rec_infer.onnx", True, _LINE),
    Net(
        "PP-OCR direction", lambda: more_models.rapidocr() / "ch_ppocr_mobile_v2.0_cls_infer.onnx", True,
        {"x": (1, 3, 48, 192)},
    ),
    Net("magika", more_models.magika_onnx, True),
    Net("basic-pitch", models_and_data.basic_pitch_onnx, True),
    Net("silero-vad", models_and_data.silero_vad_onnx, True, _SPEECH, {"sr": 16000.0}),
)  # fmt: skip

SEEDED = tuple(Net(name, partial(NetLibrary().path, name), False) for name in EXPORTS)

ZOO = {net.name: net for net in (*TRAINED, *SEEDED)}


def main() -> int:
    """Print the paths; 1 when a file cannot be had, 2 for an unknown name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="all when none is given")
    parser.add_argument("--list", action="store_true", help="print the names and make nothing")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in ZOO]
    if unknown:
        parser.error(f"got {unknown[0]!r}, expected one of {', '.join(ZOO)}")
    try:
        for name in arguments.names or ZOO:
            print(name if arguments.list else ZOO[name].path(), flush=True)
    except (SourceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
