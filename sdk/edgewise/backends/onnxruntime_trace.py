"""onnxruntime's own profiler: what its trace (JSON, Chrome's trace event format) says of each operator."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.errors import BackendUnavailable

_NODE, _RUN = "Node", "model_run"
_SUFFIX = "_kernel_time"
CONTROL_FLOW = ("If", "Loop", "Scan")


@dataclass(frozen=True)
class TraceEvent:
    """One operator of one run."""

    name: str
    kind: str
    shape: tuple[int, ...]
    """Of its first output."""
    provider: str
    """Such as CPU, without "ExecutionProvider"."""
    index: int
    """Of the node in its graph."""
    own_us: float
    """Without the operators inside it."""


@dataclass(frozen=True)
class TraceRun:
    """One inference."""

    events: tuple[TraceEvent, ...]
    """In the order in which they began, those inside loops and branches too, each time they ran."""
    call_ms: float


def read_trace(path: Path) -> list[TraceRun]:
    """The runs of a trace file. Raises BackendUnavailable when it is not one."""
    try:
        return parse_trace(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendUnavailable(
            f"onnxruntime: its trace is not laid out as expected ({type(error).__name__}: {error})"
        ) from error


def parse_trace(records: list[dict[str, Any]]) -> list[TraceRun]:
    """The runs among the records of a trace."""
    nodes = [record for record in records if record["cat"] == _NODE and record["name"].endswith(_SUFFIX)]
    nodes.sort(key=lambda record: (record["ts"], -record["dur"]))
    runs = sorted((record for record in records if record["name"] == _RUN), key=lambda record: record["ts"])
    return [
        TraceRun(_events([node for node in nodes if _contains(run, node)]), run["dur"] / 1000) for run in runs
    ]


def _events(nodes: list[dict[str, Any]]) -> tuple[TraceEvent, ...]:
    """Each operator with its own time: a loop's and a branch's are without what ran inside them."""
    own_us = [float(node["dur"]) for node in nodes]
    around: list[int] = []
    for place, node in enumerate(nodes):
        while around and not _contains(nodes[around[-1]], node):
            around.pop()
        if around:
            own_us[around[-1]] -= float(node["dur"])
        if node["args"]["op_name"] in CONTROL_FLOW:
            around.append(place)
    return tuple(_event(node, max(time_us, 0.0)) for node, time_us in zip(nodes, own_us, strict=True))


def _contains(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> bool:
    begins, ends = outer["ts"], outer["ts"] + outer["dur"]
    return bool(begins <= inner["ts"] and inner["ts"] + inner["dur"] <= ends)


def _event(record: Mapping[str, Any], own_us: float) -> TraceEvent:
    given = record["args"]
    outputs = given.get("output_type_shape") or [{}]
    shape = next(iter(outputs[0].values()), ())
    return TraceEvent(
        str(record["name"]).removesuffix(_SUFFIX),
        str(given["op_name"]),
        tuple(map(int, shape)),
        str(given.get("provider", "")).removesuffix("ExecutionProvider"),
        int(given.get("node_index", 0)),
        own_us,
    )
