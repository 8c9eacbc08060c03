"""onnxruntime's own profiler: what its trace (JSON, Chrome's trace event format) says of each operator."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.errors import BackendUnavailable

_NODE, _RUN = "Node", "model_run"
_SUFFIX = "_kernel_time"


@dataclass(frozen=True)
class TraceEvent:
    """One operator of one run."""

    name: str
    kind: str
    shape: tuple[int, ...]
    """Of its first output."""
    provider: str
    """Such as CPU, without "ExecutionProvider"."""
    elapsed_us: float


@dataclass(frozen=True)
class TraceRun:
    """One inference."""

    events: tuple[TraceEvent, ...]
    """Operators inside loops and branches are part of the operator around them."""
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
        TraceRun(
            tuple(map(_event, _outermost([node for node in nodes if _contains(run, node)]))),
            run["dur"] / 1000,
        )
        for run in runs
    ]


def _outermost(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for node in nodes:
        is_nested = kept and kept[-1]["tid"] == node["tid"] and _contains(kept[-1], node)
        # Times are whole microseconds: two short operators may share one, and neither is in the other.
        if not (is_nested and kept[-1]["args"]["op_name"] in ("Loop", "If", "Scan")):
            kept.append(node)
    return kept


def _contains(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> bool:
    begins, ends = outer["ts"], outer["ts"] + outer["dur"]
    return bool(begins <= inner["ts"] and inner["ts"] + inner["dur"] <= ends)


def _event(record: Mapping[str, Any]) -> TraceEvent:
    given = record["args"]
    outputs = given.get("output_type_shape") or [{}]
    shape = next(iter(outputs[0].values()), ())
    return TraceEvent(
        str(record["name"]).removesuffix(_SUFFIX),
        str(given["op_name"]),
        tuple(map(int, shape)),
        str(given.get("provider", "")).removesuffix("ExecutionProvider"),
        float(record["dur"]),
    )
