#!/usr/bin/env python3
"""Converts EfficientNet-Lite0 with Edgewise and with its peers: what it costs, and how good the int8 file is.

Usage: convert.py [--only NAME ...] [--runs N] [--json]. Each tool runs in a child process of its own, the peers
in environments of their own (~/.cache/edgewise/venvs, 3.6 GB, made the first time). A peer that cannot be had is
named with the reason and left out. docs/benchmarks.md says what is counted and how to read it.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

# The line above lets these find the models and the environments; the folder is not installed.
import numpy as np
from measured import CommandFailed, measure
from peers import (
    ONNX2TF_DIRECT,
    ONNX2TF_TENSORFLOW,
    Calibration,
    Converted,
    Onnx2tf,
    PeerMissing,
    quantize_with_aeq,
)
from quality import FloatArray, Quality, compare, float_answers, tflite_answers

import models_and_data
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.image import ImageReader
from model_sources.wheels import SourceError

MEAN, STD = 127.0, 128.0
CROP_FRACTION = 0.875
TARGET = "rpi4"
PEERS = ("onnx2tf-1", "onnx2tf-2", "ai-edge-quantizer")


@dataclass(frozen=True)
class Row:
    """One tool's result at one precision; the ratios are its cost in units of Edgewise's."""

    tool: str
    precision: str
    cpu_s: float
    peak_mb: float
    size_mb: float
    quality: Quality
    cpu_ratio: float = 1.0
    memory_ratio: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class Job:
    """What every tool is given."""

    onnx_file: Path
    calibration_photos: Path
    calibration: Calibration
    held_out_nhwc: FloatArray
    reference: FloatArray
    work: Path
    runs: int


def prepare(work: Path, runs: int) -> Job:
    """Fetch the model and the photos, and answer the held-out photos with the original."""
    onnx_file = models_and_data.efficientnet_lite0_onnx()
    photos = models_and_data.grocery_photos("calibration")
    held_out = _tensors(models_and_data.grocery_photos("held-out"))
    reference = float_answers(onnx_file, held_out.transpose(0, 3, 1, 2))
    calibration = Calibration(_tensors(photos), MEAN, STD)
    return Job(onnx_file, photos, calibration, held_out, reference, work, runs)


def _tensors(folder: Path) -> FloatArray:
    spec = ImagePreprocess((224, 224), "centre-crop", CROP_FRACTION, mean=(MEAN,), std=(STD,))
    reader = ImageReader(spec)
    return np.concatenate([reader.read(photo) for photo in sorted(folder.glob("*.jpg"))])


def edgewise(job: Job, *, int8: bool) -> Converted:
    """`edgewise convert` as a user types it: from the photos' files, verification included."""
    precision = "int8" if int8 else "fp32"
    out = job.work / f"edgewise-{precision}.tflite"
    command = Path(sys.executable).with_name("edgewise")
    words: list[str | Path] = [
        command,
        "convert",
        job.onnx_file,
        "--target",
        TARGET,
        "--precision",
        precision,
        "--out",
        out,
    ]
    words += ["--preprocess", f"mean={MEAN:g};std={STD:g}"]
    if int8:
        words += ["--samples", job.calibration_photos]
    return Converted(out, measure(words, folder=job.work, runs=job.runs))


def onnx2tf(job: Job, *, tool: Onnx2tf, int8: bool) -> Converted:
    """onnx2tf; the release that goes through TensorFlow runs once, its minutes hardly vary."""
    work = job.work / f"{tool.environment_name}-{'int8' if int8 else 'fp32'}"
    runs = 1 if tool is ONNX2TF_TENSORFLOW else job.runs
    return tool.convert(job.onnx_file, work, job.calibration, int8=int8, runs=runs)


def onnx2tf_then_aeq(job: Job) -> Converted:
    """onnx2tf 2.6's float32 file, quantized by ai-edge-quantizer; the cost is that of both."""
    work = job.work / "ai-edge-quantizer"
    source = ONNX2TF_DIRECT.convert(job.onnx_file, work / "float", job.calibration, int8=False, runs=job.runs)
    made = quantize_with_aeq(source.file, work / "int8", job.calibration, runs=job.runs)
    return replace(made, cost=source.cost.then(made.cost))


def contests(peers: Sequence[str]) -> Iterator[tuple[str, str, Callable[[Job], Converted]]]:
    """Tool, precision, and how to run it; Edgewise first, everything else is measured against it."""
    for int8, precision in ((False, "fp32"), (True, "int8")):
        yield "Edgewise", precision, partial(edgewise, int8=int8)
        for name, tool in (("onnx2tf-1", ONNX2TF_TENSORFLOW), ("onnx2tf-2", ONNX2TF_DIRECT)):
            if name in peers:
                yield tool.name, precision, partial(onnx2tf, tool=tool, int8=int8)
    if "ai-edge-quantizer" in peers:
        yield f"{ONNX2TF_DIRECT.name} + AEQ 0.10", "int8", onnx2tf_then_aeq


def run(job: Job, peers: Sequence[str]) -> tuple[list[Row], list[str]]:
    """All rows, and a line for each peer left out. Raises CommandFailed when Edgewise itself fails."""
    rows: list[Row] = []
    left_out: list[str] = []
    for tool, precision, make in contests(peers):
        print(f"{tool}, {precision} ...", file=sys.stderr, flush=True)
        try:
            made = make(job)
            quality = compare(tflite_answers(made.file, job.held_out_nhwc), job.reference)
        except (PeerMissing, CommandFailed) as error:
            if tool == "Edgewise":
                raise
            left_out.append(f"{tool}, {precision}: {error}")
            continue
        size_mb = made.file.stat().st_size / 1e6
        row = Row(tool, precision, made.cost.cpu_s, made.cost.peak_mb, size_mb, quality, note=made.note)
        rows.append(_against_ours(row, rows))
    return rows, left_out


def _against_ours(row: Row, rows: Sequence[Row]) -> Row:
    ours = next((r for r in rows if r.tool == "Edgewise" and r.precision == row.precision), row)
    return replace(row, cpu_ratio=row.cpu_s / ours.cpu_s, memory_ratio=row.peak_mb / ours.peak_mb)


def show(rows: Sequence[Row], left_out: Sequence[str]) -> None:
    """Print the table a person reads."""
    photos = rows[0].quality.photos
    print(
        f"EfficientNet-Lite0; int8 calibrated on 100 photos, compared with the float model on {photos} others\n"
    )
    columns = ("CPU s", "ratio", "peak MB", "ratio", "MB", "top-1", "SQNR dB")
    widths = (7, 6, 8, 6, 6, 7, 8)
    print(" " * 32 + " ".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True)))
    for precision in ("fp32", "int8"):
        for row in (row for row in rows if row.precision == precision):
            quality = row.quality
            costs = f"{row.cpu_s:7.2f} {row.cpu_ratio:5.1f}x {row.peak_mb:8.0f} {row.memory_ratio:5.1f}x"
            result = f"{row.size_mb:6.2f} {quality.top1_agreement:7.1%} {quality.sqnr_db:8.1f}"
            print(f"{precision} {row.tool:26} {costs} {result}")
    print()
    for row in rows:
        if row.note:
            print(f"note: {row.tool}, {row.precision}: {row.note}")
    for line in left_out:
        print(f"left out: {line}")


def main() -> int:
    """Parse, run, print; 1 when Edgewise itself cannot be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=PEERS, default=PEERS, help="the peers to compare with")
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of each quick tool; the cheapest counts (default 3)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="edgewise-benchmark-") as work:
            rows, left_out = run(prepare(Path(work), max(1, arguments.runs)), arguments.only)
    except (SourceError, CommandFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "left_out": left_out}, indent=2))
    else:
        show(rows, left_out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
