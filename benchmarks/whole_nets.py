#!/usr/bin/env python3
"""Converts whole networks to float32 with Edgewise and with onnx2tf 2.6, and holds both files against the original.

Usage: whole_nets.py [--only NAME ...] [--runs N] [--table FILE] [--json FILE] [--figures FILE].

For each network: signal to noise of the worst output over eight consecutive inputs in one interpreter, CPU-seconds and
peak memory of the converter's process (of several runs the cheapest), operators and TRANSPOSEs of the file. Edgewise's
cost includes its own verification.
"""

import argparse
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

# The line above lets these find the networks and the environments; the folder is not installed.
import onnx
from foreign_file import WrongFile, agreement_of
from measured import CommandFailed, Cost, measure
from peers import ONNX2TF_DIRECT, PeerMissing
from whole_nets_table import write_table

from edgewise_converters.errors import ConversionError
from edgewise_converters.onnx_session import Reference
from edgewise_converters.original import Original
from edgewise_converters.readers import Source
from edgewise_converters.samples import InputSpec, noise
from edgewise_converters.tflite.schema import operator_kinds
from edgewise_converters.token_inputs import table_sizes
from edgewise_converters.verify import GATES_DB, Case
from zoo import ZOO, Net

TARGET = "rpi4"
_DID_NOT_ANSWER = -math.inf


@dataclass(frozen=True)
class Outcome:
    """What one converter made of one network."""

    db: float
    """Of the worst output; minus infinity where there is no file that runs."""
    cpu_s: float
    peak_mb: float
    operators: int
    transposes: int
    size_mb: float
    failure: str = ""


@dataclass(frozen=True)
class Row:
    """One network."""

    net: str
    is_trained: bool
    floor_db: float
    """How far onnxruntime is from itself with other kernels."""
    source_mb: float
    ours: Outcome
    peer: Outcome | None


def run(net: Net, work: Path, runs: int, *, with_peer: bool) -> Row:
    """Convert one network with both and look at what they wrote."""
    path = net.path()
    with Original(path, shapes=net.shapes, values=net.values) as original:
        source, lowered = original.lower(lambda stage: None)
        tables = table_sizes(lowered.graph)
        specs = [InputSpec(i.name, i.shape, i.dtype, values=tables.get(i.name, 2)) for i in source.inputs]
        feeds = noise(specs).feeds()
        reference = Reference(path, values=source.values)
        cases = [Case({**source.values, **feed}, reference.run(feed)) for feed in feeds]
        reference.close()
        other = original.otherwise(source)
        floor_db = _worst([(case.expected, other.run(case.feed)) for case in cases])
        other.close()
    ours = _judged(lambda: edgewise(net, path, work, runs), cases)
    peer = onnx2tf(net, path, source, work, runs, cases) if with_peer else None
    return Row(net.name, net.is_trained, floor_db, path.stat().st_size / 1e6, ours, peer)


def _worst(pairs: Sequence[tuple[dict[str, object], dict[str, object]]]) -> float:
    from edgewise_converters.agreement import Meter

    meter = Meter()
    for expected, actual in pairs:
        meter.add(expected, actual)  # type: ignore[arg-type]  # arrays, whatever the runtime calls them
    return meter.result().worst_db


def _judged(convert: Callable[[], tuple[Path, Cost]], cases: Sequence[Case]) -> Outcome:
    try:
        file, cost = convert()
    except CommandFailed as error:
        return Outcome(_DID_NOT_ANSWER, 0.0, 0.0, 0, 0, 0.0, str(error))
    kinds = Counter(operator_kinds(file.read_bytes()))
    figures = (cost.cpu_s, cost.peak_mb, kinds.total(), kinds["TRANSPOSE"], file.stat().st_size / 1e6)
    try:
        return Outcome(agreement_of(file, cases).worst_db, *figures)
    except WrongFile as error:
        return Outcome(_DID_NOT_ANSWER, *figures, str(error))


def edgewise(net: Net, path: Path, work: Path, runs: int) -> tuple[Path, Cost]:
    """`edgewise convert` as a user types it, verification included."""
    out = work / "edgewise.tflite"
    command: list[str | Path] = [
        Path(sys.executable).with_name("edgewise"),
        "convert",
        path,
        "--target",
        TARGET,
    ]
    command += ["--precision", "fp32", "--out", out]
    for name, shape in net.shapes.items():
        command += ["--shape", f"{name}={','.join(map(str, shape))}"]
    for name, number in net.values.items():
        command += ["--value", f"{name}={number:g}"]
    return out, measure(command, folder=work, runs=runs)


def onnx2tf(net: Net, path: Path, source: Source, work: Path, runs: int, cases: Sequence[Case]) -> Outcome:
    """onnx2tf without onnx-simplifier, which is cheaper, or with it where only that gives a right file."""
    declared = {i.name: i.shape for i in source.inputs}
    shapes = {name: declared[name] for name in open_inputs(path) if name in declared}
    best: Outcome | None = None
    for options, most in ((ONNX2TF_DIRECT.options, runs), ((), 1)):
        folder = work / f"onnx2tf{len(options)}"

        def convert(
            options: Sequence[str] = options, folder: Path = folder, most: int = most
        ) -> tuple[Path, Cost]:
            made = ONNX2TF_DIRECT.convert_float(path, folder, shapes, options=options, runs=most)
            return made.file, made.cost

        outcome = _judged(convert, cases)
        best = outcome if best is None or outcome.db > best.db else best
        if best.db >= GATES_DB["fp32"]:
            break
    return best


def open_inputs(path: Path) -> list[str]:
    """The names of the inputs that have a dimension without a number."""
    graph = onnx.load(path, load_external_data=False).graph
    return [
        value.name
        for value in graph.input
        if any(dim.dim_value <= 0 for dim in value.type.tensor_type.shape.dim)
    ]


def main() -> int:
    """Parse, run, write; 1 when a network cannot be had or Edgewise does not convert one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", nargs="*", metavar="NAME", help="these networks (see scripts/zoo.py --list)"
    )
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of each tool; the cheapest counts (default 3)"
    )
    parser.add_argument("--without-peer", action="store_true", help="Edgewise alone")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument(
        "--figures", type=Path, metavar="FILE", help="convert nothing: write --table from such a JSON file"
    )
    arguments = parser.parse_args()
    if arguments.figures and arguments.table:
        write_table(arguments.table, _read(arguments.figures))
        return 0
    unknown = [name for name in arguments.only or () if name not in ZOO]
    if unknown:
        parser.error(f"--only: got {unknown[0]!r}, expected one of {', '.join(ZOO)}")
    if not arguments.without_peer:
        try:
            ONNX2TF_DIRECT.install()
        except PeerMissing as error:
            print(f"left out: {error}", file=sys.stderr)
            arguments.without_peer = True
    rows = []
    for name in arguments.only or ZOO:
        with tempfile.TemporaryDirectory(prefix="edgewise-nets-") as work:
            try:
                rows.append(run(ZOO[name], Path(work), arguments.runs, with_peer=not arguments.without_peer))
            except ConversionError as error:
                rows.append(_refused(ZOO[name], error))
        print(_line(rows[-1]), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if arguments.table:
        write_table(arguments.table, rows)
    return int(any(row.ours.failure for row in rows))


def _refused(net: Net, error: ConversionError) -> Row:
    nothing = Outcome(_DID_NOT_ANSWER, 0.0, 0.0, 0, 0, 0.0, str(error))
    return Row(net.name, net.is_trained, 0.0, net.path().stat().st_size / 1e6, nothing, None)


def _read(path: Path) -> list[Row]:
    """The figures of an earlier run."""
    rows = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        ours, peer = (Outcome(**entry[key]) if entry[key] else None for key in ("ours", "peer"))
        assert ours is not None
        rows.append(Row(**{**entry, "ours": ours, "peer": peer}))
    return rows


def _line(row: Row) -> str:
    both = [row.ours, *([row.peer] if row.peer else [])]
    said = [
        f"{o.db:7.1f} dB {o.cpu_s:6.2f} s {o.peak_mb:5.0f} MB {o.operators:5d} operators {o.transposes:3d} T "
        f"{o.size_mb:.2f} MB {o.failure}"
        for o in both
    ]
    return f"{row.net:46} floor {row.floor_db:6.1f} | " + " | ".join(said)


if __name__ == "__main__":
    sys.exit(main())
