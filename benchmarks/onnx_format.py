#!/usr/bin/env python3
"""`edgewise convert --format onnx` beside onnxruntime's own quantizer and NNCF: same model, samples and judge.

Usage: onnx_format.py [--only NET ...] [--precisions NAME ...] [--no-new-peers]. Each tool writes a static int8 .onnx
file from the same calibration samples; onnxruntime runs it, with exact products of 8-bit integers, on samples that no
tool has seen. What peers made is kept in ~/.cache/edgewise/int8-N, as int8_peers.py keeps it, and not made again;
Edgewise's files always are. --precisions judges files of its other precisions instead.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

# The line above lets these find the models and the environments; the folder is not installed.
import numpy as np
import numpy.typing as npt
from int8_answers import Answers, judge
from int8_nets import NETS, Net
from int8_peers import Row, prepare, read_row, run
from int8_table import as_rows, best_of_each
from int8_tools import CONVERTER, PEERS, Job
from measured import CommandFailed, measure

from edgewise.backends import open_backend

USUAL = ("EfficientNet-Lite0", "PP-OCRv6 tiny detector", "PP-OCRv6 tiny recognizer", "YuNet", "basic-pitch")
ONNX_PEERS = tuple(tool for tool in PEERS if tool.suffix == ".onnx")
TARGET = "rpi4"


def answers(path: Path, samples: npt.NDArray[np.generic]) -> Answers:
    """What the SDK's onnxruntime says, one sample after the other."""
    backend = open_backend(path, "onnx", name="onnxruntime", threads=1)
    names = [output.name for output in backend.outputs()]
    found = [dict(zip(names, backend.run([np.ascontiguousarray(sample)]), strict=True)) for sample in samples]
    backend.close()
    return found


def edgewise(job: Job, precision: str) -> tuple[Path, float]:
    """`edgewise convert --format onnx` as a user types it: the file, and its CPU-seconds. Raises CommandFailed."""
    out = job.folder / f"edgewise-{precision}.onnx"
    words: list[str | Path] = [CONVERTER, "convert", job.model, "--target", TARGET, "--format", "onnx"]
    words += ["--precision", precision, "--samples", job.calibration, "--out", out, *job.net.options]
    cost = measure(words, folder=job.folder)
    return out, cost.cpu_s


def own_row(net: Net, precision: str) -> Row:
    """Edgewise's file of one precision, judged on the held-out samples."""
    job, _ = prepare(net)
    samples = np.load(job.folder / "held-out.npy", mmap_mode="r")
    try:
        out, cpu_s = edgewise(job, precision)
    except CommandFailed as error:
        return Row(net.name, "Edgewise", precision, None, complaint=str(error).splitlines()[0][:200])
    figures = judge(out, answers(out, samples), answers(job.model, samples), net.classes_axis)
    return Row(net.name, "Edgewise", precision, figures, cpu_s)


def compare(names: Sequence[str]) -> list[Row]:
    """One row a network and tool, printed as they are made."""
    rows = []
    for name in names:
        own = own_row(NETS[name], "int8")
        print(as_rows([own])[0], flush=True)
        rows.append(own)
        for row in run([NETS[name]], ONNX_PEERS):
            print(as_rows([row])[0], flush=True)
            rows.append(row)
    return rows


def kept(names: Sequence[str]) -> list[Row]:
    """The peers' rows that are there already."""
    rows = []
    for name in names:
        folder = prepare(NETS[name])[0].folder
        paths = [folder / f"{tool.label}.json" for tool in ONNX_PEERS]
        rows += [read_row(path) for path in paths if path.exists()]
    return rows


def as_table(rows: Sequence[Row]) -> str:
    """The best setting of each tool by mean dB, as Markdown."""
    lines = [
        "| network | tool, setting | mean dB | worst dB | same first answer | kB |",
        "|---|---|---|---|---|---|",
    ]
    for net in dict.fromkeys(row.net for row in rows):
        for row in best_of_each([row for row in rows if row.net == net]).values():
            figures = row.figures
            if figures is None:
                lines.append(f"| {net} | {row.tool} | no setting gives a file that runs | | | |")
                continue
            top1 = "" if figures.top1 is None else f"{figures.top1:.1%}"
            lines.append(
                f"| {net} | {row.tool}, {row.setting} | {figures.mean_db:.1f} | {figures.worst_db:.1f} | {top1} "
                f"| {figures.size_bytes / 1000:.0f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="NET", help=f"of: {', '.join(NETS)}")
    parser.add_argument("--precisions", nargs="*", default=[], help="Edgewise's own, besides int8")
    parser.add_argument(
        "--no-new-peers", action="store_true", help="only peers' files that are there already"
    )
    options = parser.parse_args()
    names = options.only or USUAL
    if options.precisions:
        rows = [own_row(NETS[name], precision) for name in names for precision in options.precisions]
        print("\n".join(as_rows(rows)))
        return 0
    rows = (
        [own_row(NETS[name], "int8") for name in names] + kept(names)
        if options.no_new_peers
        else compare(names)
    )
    print(as_table(sorted(rows, key=lambda row: names.index(row.net))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
