"""What became of ONNX's one-operator tests, on a terminal and as the page docs/onnx-operators.md."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

BESIDE = "\n## Beside it: onnx2tf\n"


@dataclass(frozen=True)
class Outcome:
    """What became of one test."""

    name: str
    operator: str
    verdict: str
    reason: str = ""
    way: str = ""
    """Of a converter that has several."""


def report(outcomes: list[Outcome]) -> None:
    """The counts, then what is WRONG."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    counted = sum(n for verdict, n in counts.items() if verdict != "left out")
    for verdict in ("equal", "refused", "WRONG", "left out"):
        share = f"{counts[verdict] / max(counted, 1):.1%}" if verdict != "left out" else ""
        print(f"{verdict:9} {counts[verdict]:5} {share}")
    for outcome in outcomes:
        if outcome.verdict == "WRONG":
            print(f"WRONG {outcome.operator} {outcome.name}: {outcome.reason}")


def write_page(path: Path, outcomes: list[Outcome], engine: str) -> None:
    """Our table, or after it the other engine's counts; what the page says of the other stays."""
    ours, marker, beside = (
        path.read_text(encoding="utf-8").partition(BESIDE) if path.exists() else ("", "", "")
    )
    if engine == "edgewise":
        ours = as_table(outcomes)
    else:
        marker, beside = BESIDE, as_summary(outcomes)
    path.write_text(ours + marker + beside, encoding="utf-8")


def as_summary(outcomes: list[Outcome]) -> str:
    """The counts of an engine beside ours, as Markdown."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    counted = sum(number for verdict, number in counts.items() if verdict != "left out")
    wrong = [outcome for outcome in outcomes if outcome.verdict == "WRONG"]
    unrunnable = sum(not outcome.reason.startswith("output ") for outcome in wrong)
    left = sum(outcome.way == "plain" for outcome in outcomes if outcome.verdict in ("WRONG", "refused"))
    tried = sum(outcome.way == "simplified" for outcome in outcomes)
    more = sum(outcome.way == "simplified" for outcome in outcomes if outcome.verdict == "equal")
    again = sum(outcome.reason.endswith("asked again") for outcome in wrong)
    return f"""
onnx2tf 2.6.9, its own writer, by the same runner, each test in a process of its own. It does not say how the axes of
its files lie, so the order in which the answers fit is taken; axes of length one may be missing. Every test is tried
without `onnxsim`. With it, its default, {tried} of those that were not equal were tried again, which made {more} equal;
{left} were not tried again, so this count is a lower bound.

| of {counted} tests | |
|---|---|
| converted, and the expected answer twice in a row | {counts["equal"]} ({counts["equal"] / max(counted, 1):.1%}) |
| refused | {counts["refused"]} |
| exit status 0, and another answer | {len(wrong) - unrunnable}, of them {again} in the second call only |
| exit status 0, and a file that is missing, does not run in LiteRT or has outputs of other shapes | {unrunnable} |

```sh
.venv/bin/python benchmarks/onnx_node_tests.py --engine onnx2tf --table docs/onnx-operators.md
```
"""


def as_table(outcomes: list[Outcome]) -> str:
    """Counts by operator, as Markdown."""
    by_operator: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        by_operator[outcome.operator][outcome.verdict] += 1
    counts = Counter(outcome.verdict for outcome in outcomes)
    counted = sum(number for verdict, number in counts.items() if verdict != "left out")
    lines = [
        "# ONNX's own tests of one operator each",
        "",
        f"Of {counted} tests, {counts['equal']} ({counts['equal'] / max(counted, 1):.1%}) are converted and give the",
        f"expected answer twice in a row in LiteRT, {counts['refused']} are refused with a reason, and",
        f"{counts['WRONG']} are wrong. Left out are {counts['left out']} that onnxruntime does not pass or whose types",
        "TFLite does not have.",
        "Inputs that are constants by nature (shapes, axes, weights) are frozen. This page is written by",
        "",
        "```sh",
        ".venv/bin/python benchmarks/onnx_node_tests.py --table docs/onnx-operators.md",
        "```",
        "",
        "| operator | equal | refused | wrong | left out |",
        "|---|---|---|---|---|",
    ]
    for operator, counts in sorted(by_operator.items()):
        lines.append(
            f"| {operator} | {counts['equal']} | {counts['refused']} | {counts['WRONG']} | {counts['left out']} |"
        )
    return "\n".join(lines) + "\n"
