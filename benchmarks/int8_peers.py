#!/usr/bin/env python3
"""Static int8 of trained networks by Edgewise and by its peers: same model, same samples, same judge.

Usage: int8_peers.py [--only NET ...] [--tool NAME ...] [--table FILE]. What a peer made is kept in
~/.cache/edgewise/int8-N and not made again; Edgewise's files always are. A peer that fails at a setting is listed
with its reason. The figures are those of samples that no tool has seen.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

# The line above lets these find the models and the environments; the folder is not installed.
import numpy as np
from int8_answers import Answers, Figures, judge, onnx_answers, tflite_answers
from int8_nets import NETS, Net
from int8_table import as_page, as_rows
from int8_tools import EDGEWISE, PEERS, Job, Tool
from measured import CommandFailed
from peers import PeerMissing

from model_sources.wheels import SourceError, cache_folder, make_once

RECIPES_VERSION = 2
"""Raise it when samples or networks change, so that nobody goes on with old figures."""


@dataclass(frozen=True)
class Row:
    """One tool's result at one setting."""

    net: str
    tool: str
    setting: str
    figures: Figures | None
    cpu_s: float = 0.0
    complaint: str = ""


def run(nets: Sequence[Net], tools: Sequence[Tool]) -> Iterator[Row]:
    """One row a network and tool, as they are made."""
    for net in nets:
        job, reference = prepare(net)
        samples = np.load(job.folder / "held-out.npy", mmap_mode="r")
        for tool in tools:
            kept = job.folder / f"{tool.label}.json"
            if tool is EDGEWISE or not kept.exists():
                write_row(kept, _row(job, tool, samples, reference))
            yield read_row(kept)


def prepare(net: Net) -> tuple[Job, Answers]:
    """The network, its samples and the float answers to those held out, made once."""
    job = Job(net, cache_folder() / f"int8-{RECIPES_VERSION}" / net.name.replace(" ", "-"))
    if not job.folder.exists():
        make_once(job.folder, lambda folder: _lay_out(net, folder))
    job.float_tflite()
    return job, onnx_answers(job.model, np.load(job.folder / "held-out.npy"))


def _lay_out(net: Net, folder: Path) -> None:
    folder.mkdir()
    net.write(folder / "model.onnx")
    calibration, held_out = net.samples()
    np.save(folder / "calibration.npy", calibration)
    np.save(folder / "held-out.npy", held_out)


def _row(job: Job, tool: Tool, samples: np.ndarray, reference: Answers) -> Row:
    out = job.folder / f"{tool.label}{tool.suffix}"
    out.unlink(missing_ok=True)
    try:
        cost = tool.make(job, out)
        answers = (
            onnx_answers(out, samples) if tool.suffix == ".onnx" else tflite_answers(out, samples, reference)
        )
        figures = judge(out, answers, reference, job.net.classes_axis)
    except (CommandFailed, PeerMissing, SourceError, ValueError, RuntimeError) as error:
        return Row(job.net.name, tool.name, tool.setting, None, complaint=str(error).splitlines()[0][:200])
    except Exception as error:  # onnxruntime has errors of its own for files it refuses
        return Row(
            job.net.name, tool.name, tool.setting, None, complaint=f"{type(error).__name__}: {error}"[:200]
        )
    return Row(job.net.name, tool.name, tool.setting, figures, cost.cpu_s)


def write_row(path: Path, row: Row) -> None:
    """Keep a row."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(row)))
    partial.replace(path)


def read_row(path: Path) -> Row:
    """A kept row."""
    values = json.loads(path.read_text())
    figures = values.pop("figures")
    return Row(**values, figures=Figures(**figures) if figures else None)


def kept_rows() -> list[Row]:
    """Every row that was ever made, in the order of networks and tools."""
    folders = [(net, cache_folder() / f"int8-{RECIPES_VERSION}" / net.replace(" ", "-")) for net in NETS]
    paths = [folder / f"{tool.label}.json" for _, folder in folders for tool in (EDGEWISE, *PEERS)]
    return [read_row(path) for path in paths if path.exists()]


def main() -> int:
    """Run what is asked for and print it; 1 when nothing could be made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="NET", help=f"of: {', '.join(NETS)}")
    parser.add_argument(
        "--tool", nargs="*", default=[], help="Edgewise, onnxruntime, NNCF, ...; all if not given"
    )
    parser.add_argument(
        "--table", type=Path, help="write the page from everything made so far, and make nothing"
    )
    options = parser.parse_args()
    if options.table:
        options.table.write_text(as_page(kept_rows()), encoding="utf-8")
        return 0
    nets = [net for name, net in NETS.items() if not options.only or name in options.only]
    tools = [
        t for t in (EDGEWISE, *PEERS) if not options.tool or t.name.lower() in map(str.lower, options.tool)
    ]
    rows = []
    for row in run(nets, tools):
        rows.append(row)
        print(as_rows([row])[0], flush=True)
    return 0 if any(row.figures for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
