"""The page docs/int8.md: Edgewise beside the best setting of each peer, network by network."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from int8_peers import Row

MAY_BE_LARGER = 1.02
OWN = "Edgewise"
HEADER = """# Static int8 beside other quantizers

Same trained network, same calibration samples, same held-out samples that no tool saw; the judge is the float
network in onnxruntime. Every peer ran at each of its settings that is listed below; the table shows the best of each.
dB is signal to noise, mean of the outputs and, where there are several, the worst of them. ONNX files are run by
onnxruntime with exact 8-bit products, TFLite files by LiteRT. ai-edge-quantizer starts from Edgewise's float32 file,
TensorFlow's converter from onnx2tf 1.29's saved model. Sizes are in kB, those of Edgewise's files without the golden
cases and the card that it puts into them. A tool without a line was not run on that network.

Edgewise's int8 is what `edgewise convert --precision int8` writes: most layers in int8, those that lose most in float32
or with float32 activations, by at most 1.5 times the time of plain int8 in its cost model
([how](converter.md#how-int8-is-made)); NNCF's and onnxruntime's files leave operators in float32, too. EfficientNet-
Lite0 took 1.23 times the time of ai-edge-quantizer's file in LiteRT on x86, and 0.51 times that of float32.

```sh
benchmarks/int8_peers.py                       # an hour or two; peers live in environments of their own
benchmarks/int8_peers.py --table docs/int8.md
```
"""


def as_rows(rows: Sequence["Row"]) -> list[str]:
    """One line a row, for a terminal."""
    return [f"{row.net:26} {row.tool:18} {row.setting:48} {_figures(row)}  {row.cpu_s:.0f} s" for row in rows]


def as_page(rows: Sequence["Row"]) -> str:
    """The page, as Markdown."""
    nets = list(dict.fromkeys(row.net for row in rows if row.tool == OWN))
    best = {net: best_of_each([row for row in rows if row.net == net]) for net in nets}
    verdicts = {net: verdict(list(chosen.values())) for net, chosen in best.items()}
    good = sum(text.startswith("yes") for text in verdicts.values())
    lines = [
        HEADER,
        f"On {good} of {len(nets)} networks Edgewise is at least as good as the best of the others in dB and in",
        f"agreement of the first answer, at no more than {MAY_BE_LARGER:.2f} times its size.",
        "",
        "| network | tool | setting | mean dB | worst dB | same first answer | kB |",
        "|---|---|---|---|---|---|---|",
    ]
    for net in nets:
        lines += [_line(net, row) for row in best[net].values()]
        lines += [f"| | | **{verdicts[net]}** | | | | |"]
    lines += ["", "## Every setting", "", "| network | tool | setting | result |", "|---|---|---|---|"]
    lines += [f"| {row.net} | {row.tool} | {row.setting} | {_figures(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def best_of_each(rows: Sequence["Row"]) -> dict[str, "Row"]:
    """By tool: its setting with the highest mean dB; one that failed where none succeeded."""
    best: dict[str, Row] = {}
    for row in rows:
        if row.tool not in best or _mean(row) > _mean(best[row.tool]):
            best[row.tool] = row
    return best


def verdict(rows: Sequence["Row"]) -> str:
    """Whether ours is at least as good as the best of the others, and where not."""
    ours = next((row.figures for row in rows if row.tool == OWN), None)
    others = [row.figures for row in rows if row.tool != OWN and row.figures]
    if not others or all(row.tool != OWN for row in rows):
        return "no comparison"
    if ours is None:
        return "no: refused"
    best = max(others, key=lambda figures: figures.mean_db)
    missing = []
    if ours.mean_db < best.mean_db:
        missing.append(f"{best.mean_db - ours.mean_db:.1f} dB")
    top1 = max((figures.top1 for figures in others if figures.top1 is not None), default=None)
    if top1 is not None and ours.top1 is not None and ours.top1 < top1:
        missing.append(f"{top1 - ours.top1:.1%} agreement")
    if ours.size_bytes > MAY_BE_LARGER * best.size_bytes:
        missing.append(f"{ours.size_bytes / best.size_bytes:.2f} x the size")
    return f"no: behind by {', '.join(missing)}" if missing else f"yes: {ours.mean_db - best.mean_db:+.1f} dB"


def _mean(row: "Row") -> float:
    return row.figures.mean_db if row.figures else -1000.0


def _figures(row: "Row") -> str:
    figures = row.figures
    if figures is None:
        return f"failed: {row.complaint}"
    top1 = "" if figures.top1 is None else f", {figures.top1:.1%}"
    return (
        f"{figures.mean_db:.1f} dB (worst {figures.worst_db:.1f}){top1}, {figures.size_bytes / 1000:.0f} kB"
    )


def _line(net: str, row: "Row") -> str:
    figures = row.figures
    if figures is None:
        return f"| {net} | {row.tool} | failed: {row.complaint} | | | | |"
    top1 = "" if figures.top1 is None else f"{figures.top1:.1%}"
    return (
        f"| {net} | {row.tool} | {row.setting} | {figures.mean_db:.1f} | {figures.worst_db:.1f} | {top1} "
        f"| {figures.size_bytes / 1000:.0f} |"
    )
