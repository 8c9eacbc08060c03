"""docs/whole-nets.md from the figures of whole_nets.py."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whole_nets import Outcome, Row

WRONG_BELOW_DB = 60.0
"""Random float32 noise does not bring a file so low whose original's own noise floor is higher."""
_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Replace what stands between the two marks in ``path``; what is written by hand around them stays."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    body = "\n".join([*_summary(rows), "", *_table(rows)])
    path.write_text(f"{before}{_BEGIN}\n\n{body}\n\n{_END}{after}", encoding="utf-8")


def _summary(rows: Sequence[Row]) -> list[str]:
    both = [(row.ours, row.peer) for row in rows if row.peer is not None]
    right = [(ours, peer) for ours, peer in both if math.isfinite(peer.db)]
    lines = [
        f"{len(rows)} files, {sum(row.is_trained for row in rows)} of them with trained weights. Edgewise converts "
        f"{sum(_is_right(row.ours, row) for row in rows)} of them at 90 dB or at the original's own noise floor; "
        f"the lowest is {min(row.ours.db for row in rows):.1f} dB."
    ]
    if not both:
        return lines
    wrong = sum(not _is_right(row.peer, row) for row in rows if row.peer)
    failed = len(both) - len(right)
    lines.append(
        f"onnx2tf 2.6.9: {len(both) - wrong} so, {wrong - failed} with another answer, "
        f"{failed} without a file that runs."
    )
    ratios = {
        "CPU time": [peer.cpu_s / ours.cpu_s for ours, peer in right],
        "memory": [peer.peak_mb / ours.peak_mb for ours, peer in right],
        "operators": [peer.operators / ours.operators for ours, peer in right],
    }
    told = ", ".join(f"{statistics.median(values):.2f} times the {what}" for what, values in ratios.items())
    lines.append(f"Where it wrote a file that runs, it took or has (median) {told}.")
    return lines


def _is_right(outcome: Outcome, row: Row) -> bool:
    return outcome.db >= min(90.0, row.floor_db - 6.0)


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| network | dB | floor | CPU s | MB | operators | T | onnx2tf: dB | CPU s | MB | operators | T |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        peer = _cells(row.peer) if row.peer else ["", "", "", "", ""]
        ours = _cells(row.ours)
        floor = "same" if row.floor_db >= 200 else f"{row.floor_db:.0f}"
        lines.append("| " + " | ".join([row.net, ours[0], floor, *ours[1:], *peer]) + " |")
    return lines


def _cells(outcome: Outcome) -> list[str]:
    if not outcome.operators:
        return ["no file", "", "", "", ""]
    db = f"{outcome.db:.1f}" if math.isfinite(outcome.db) else "does not run"
    costs = [f"{outcome.cpu_s:.2f}", f"{outcome.peak_mb:.0f}"]
    return [db, *costs, str(outcome.operators), str(outcome.transposes)]
