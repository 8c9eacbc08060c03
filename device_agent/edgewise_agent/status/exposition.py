"""One device as Prometheus reads it, in its text format, by the names that the fleet's endpoint has, too."""

import math
from collections.abc import Iterator

from edgewise_agent.status.status_board import Snapshot
from edgewise_messages.metrics import STANDARD, Kind

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def expose(snapshot: Snapshot) -> bytes:
    """See https://prometheus.io/docs/instrumenting/exposition_formats/, "Text-based format"."""
    labels = f'{{group="{_escaped(snapshot.group)}",device="{_escaped(snapshot.device)}"}}'
    lines = list(_agent_series(snapshot, labels))
    for metric in STANDARD:
        value = snapshot.metrics.get(metric.name)
        if value is None or not math.isfinite(value):
            continue
        # The parser of a counter takes its family's name without _total, and its sample with it.
        suffix = "_total" if metric.kind is Kind.COUNTER else ""
        name = f"edgewise_{metric.name.replace('.', '_')}{suffix}"
        lines += _series(name, metric.meaning, metric.kind.value, labels, value)
    return ("\n".join(lines) + "\n").encode()


def _agent_series(snapshot: Snapshot, labels: str) -> Iterator[str]:
    up = int(snapshot.is_healthy)
    yield from _series("edgewise_agent_healthy", "1 while every part is heard from", "gauge", labels, up)
    if snapshot.metrics_ms:
        yield from _series(
            "edgewise_agent_report_timestamp_seconds",
            "when the metrics were taken",
            "gauge",
            labels,
            snapshot.metrics_ms / 1000,
        )


def _series(name: str, meaning: str, kind: str, labels: str, value: float) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    yield f"{name}{labels} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
