"""What scripts read: the fleet as JSON, a health check, Prometheus."""

import msgspec
from fastapi import FastAPI, Response

from edgewise_fleet.exposition import CONTENT_TYPE, expose
from edgewise_fleet.view import FleetView

HEALTHY, UNAVAILABLE = 200, 503


def add_api(site: FastAPI, view: FleetView) -> None:
    """Add the endpoints; each runs in a worker thread, because it reads the store."""

    @site.get("/api/devices")
    def devices() -> Response:
        return _json(view.summary())

    @site.get("/healthz")
    def health() -> Response:
        trouble = view.summary().trouble
        answer = {"status": "trouble" if trouble else "ok", "trouble": trouble}
        return _json(answer, status=UNAVAILABLE if trouble else HEALTHY)

    @site.get("/metrics")
    def metrics() -> Response:
        return Response(expose(view.summary), media_type=CONTENT_TYPE)


def _json(value: object, *, status: int = HEALTHY) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")
