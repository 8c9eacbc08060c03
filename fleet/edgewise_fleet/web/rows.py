"""The rows of the device table for the browser: all of them once, then only those that changed."""

from __future__ import annotations

import gzip
import threading
import uuid
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from edgewise_fleet.summary import DeviceSummary, FleetSummary
from edgewise_fleet.view import FleetView

COLUMNS = (
    "group",
    "device",
    "state",
    "since_ms",
    "model",
    "precision",
    "version",
    "throughput",
    "p50",
    "p95",
    "temperature",
    "throttled",
    "seen_ms",
)


class Rows:
    """Numbers each change; a browser asks for what came after the number it has."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run = uuid.uuid4().hex[:8]
        """A server that was started anew counts anew: a browser of before must begin anew, too."""
        self._number = 0
        self._seen: FleetSummary | None = None
        self._rows: dict[tuple[str, str], tuple[DeviceSummary, int, list[Any]]] = {}

    def since(self, fleet: FleetSummary, run: str, number: int) -> bytes:
        """JSON: the rows changed after this number of this run, or all of them."""
        with self._lock:
            if fleet is not self._seen:
                self._update(fleet)
            is_delta = run == self._run and 0 < number <= self._number
            after = number if is_delta else 0
            return msgspec.json.encode(
                {
                    "run": self._run,
                    "number": self._number,
                    "now_ms": fleet.now_ms,
                    "total": len(self._rows),
                    "all": not is_delta,
                    "rows": [row for _, changed, row in self._rows.values() if changed > after],
                }
            )

    def _update(self, fleet: FleetSummary) -> None:
        self._seen = fleet
        self._number += 1
        rows = {}
        for device in fleet.devices:
            key = (device.group, device.device)
            earlier = self._rows.get(key)
            if earlier is None or earlier[0] is not device:
                row = _row(device)
                changed = earlier[1] if earlier is not None and earlier[2] == row else self._number
                earlier = (device, changed, row)
            rows[key] = earlier
        self._rows = rows


def _row(device: DeviceSummary) -> list[Any]:
    return [
        device.group,
        device.device,
        device.condition.value,
        device.since_ms,
        device.model,
        device.precision,
        device.agent_version,
        device.throughput_per_s,
        device.latency_p50_ms,
        device.latency_p95_ms,
        device.temperature_c,
        None if device.throttled is None else ", ".join(device.throttled),
        device.last_seen_ms,
    ]


def add_rows(site: FastAPI, view: FleetView) -> None:
    """Serve /page/rows, which the device table asks."""
    rows = Rows()

    @site.get("/page/rows", include_in_schema=False)
    def page_rows(request: Request, run: str = "", number: int = 0) -> Response:
        body = rows.since(view.summary(), run, number)
        headers = {}
        if len(body) > 4096 and "gzip" in request.headers.get("accept-encoding", ""):
            body, headers = gzip.compress(body, 1), {"Content-Encoding": "gzip"}
        return Response(body, media_type="application/json", headers=headers)
