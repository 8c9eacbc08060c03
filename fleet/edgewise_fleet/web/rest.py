"""The REST API under /api/v1, described by OpenAPI at /api/v1/openapi.json."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.routing import Match

from edgewise_fleet.access import Role
from edgewise_fleet.alerts import Silence
from edgewise_fleet.alerts.book import KeptSilence
from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import DeviceRow
from edgewise_fleet.summary import Condition, DeviceSummary
from edgewise_fleet.web import api_models as out
from edgewise_fleet.web.panel import Panel
from edgewise_fleet.web.rest_parts import Id, Operator, needed
from edgewise_fleet.web.rest_snapshots import add_snapshots
from edgewise_messages import DeviceAddress

PREFIX = "/api/v1"
LATEST_MS = 253_402_300_799_000
"""The end of the year 9999."""
Moment = Annotated[int | None, Query(ge=0, le=LATEST_MS)]
Number = Annotated[int, Query(ge=0, le=2**53)]
Metric = Annotated[str, Query(min_length=1, max_length=200)]
_SAID = {
    400: "a value that cannot be meant",
    401: "nobody is logged in",
    403: "not in this role, or from another site's page",
    404: "not known",
    409: "cannot be done just now",
    422: "a value of the wrong form",
    503: "the store cannot be read or written just now",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {"model": out.Trouble, "description": said} for code, said in _SAID.items() if code != 422
}


def add_rest(site: FastAPI, panel: Panel) -> None:
    """Mount the API."""
    api = FastAPI(
        title="Edgewise fleet",
        version="1",
        description="Devices, their metrics and events, models and alerts. Send a token as"
        " `Authorization: Bearer ewf_...` where users must log in.",
        docs_url=None,
        redoc_url=None,
        responses=RESPONSES,
        redirect_slashes=False,
    )
    api.add_exception_handler(StoreUnusable, _unusable)
    api.add_exception_handler(405, _not_allowed)
    _add_devices(api, panel)
    _add_alerts(api, panel)
    _add_silences(api, panel)
    if panel.snapshots is not None:
        add_snapshots(api, panel.gate, panel.snapshots)
    site.mount(PREFIX, api)


def _unusable(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503)


def _not_allowed(request: Request, _: Exception) -> Response:
    """RFC 9110, 15.5.6: Allow names every method of the path; the framework names those of its first route."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = sorted({method for route in routes for method in getattr(route, "methods", None) or ()})
    return JSONResponse({"detail": "Method Not Allowed"}, 405, {"Allow": ", ".join(methods)})


def _add_devices(api: FastAPI, panel: Panel) -> None:
    @api.get("/devices", tags=["devices"])
    def devices(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str, Query(max_length=200, description="group/device to go on from")] = "",
        group: Annotated[str, Query(max_length=200)] = "",
        condition: Condition | None = None,
        model: Annotated[str, Query(max_length=4096)] = "",
    ) -> out.DevicesOut:
        """Devices by group and name, a page at a time."""
        found = [
            one
            for one in panel.view.summary().devices
            if (not group or one.group == group)
            and (condition is None or one.condition is condition)
            and (not model or one.model == model)
        ]
        start = tuple(after.split("/", 1)) if after else ()
        rest = [one for one in found if (one.group, one.device) > start] if after else found
        page = rest[:limit]
        more = f"{page[-1].group}/{page[-1].device}" if len(rest) > limit else None
        return out.DevicesOut(devices=[out.device_out(one) for one in page], total=len(found), next=more)

    @api.get("/devices/{group}/{device}", tags=["devices"])
    def device(group: Id, device: Id) -> out.DeviceDetailOut:
        """One device with its latest metrics and what it runs."""
        row, summary = _known(panel, group, device)
        models = (row.meta.models or ({"": row.meta.model} if row.meta.model else {})) if row.meta else {}
        return out.DeviceDetailOut(
            **out.device_out(summary).model_dump(),
            metrics=dict(summary.metrics),
            models={name: out.ModelOut.model_validate(model) for name, model in models.items()},
        )

    @api.get("/devices/{group}/{device}/series", tags=["devices"])
    def series(
        group: Id,
        device: Id,
        metric: Annotated[list[Metric], Query(min_length=1, max_length=20)],
        since_ms: Moment = None,
        until_ms: Moment = None,
    ) -> out.SeriesOut:
        """Metrics over time; the last hour without since_ms and until_ms."""
        row, _ = _known(panel, group, device)
        end = int(time.time() * 1000) if until_ms is None else until_ms
        begin = max(0, end - 3_600_000) if since_ms is None else since_ms
        if begin > end:
            raise HTTPException(400, f"since_ms: got {begin}, expected at most until_ms = {end}")
        found = panel.view.series_between(row.address, metric, since_ms=begin, until_ms=end)
        return out.SeriesOut(
            since_ms=begin,
            until_ms=end,
            series={name: [list(point) for point in points] for name, points in found.items()},
        )

    @api.get("/devices/{group}/{device}/events", tags=["devices"])
    def events(
        group: Id,
        device: Id,
        predictions: bool = False,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> out.EventsOut:
        """The latest events but predictions, or the latest predictions."""
        row, _ = _known(panel, group, device)
        found = panel.view.events(row.address, predictions=predictions, limit=limit)
        return out.EventsOut(events=[out.event_out(one) for one in found])

    @api.get("/models", tags=["models"])
    def models() -> out.ModelsOut:
        """Which models run where."""
        return out.ModelsOut(models=[out.ModelUseOut.model_validate(use) for use in panel.view.models()])


def _add_alerts(api: FastAPI, panel: Panel) -> None:
    @api.get("/alerts", tags=["alerts"])
    def alerts(
        active: bool = True,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Number = 0,
    ) -> out.AlertsOut:
        """Those that hold (all of them), or those that are over, a page at a time."""
        found = panel.book.active() if active else panel.book.history(limit=limit, before=before)
        more = None if active or len(found) < limit else found[-1].number
        return out.AlertsOut(alerts=[out.alert_out(kept) for kept in found], next=more)

    @api.get("/audit", tags=["audit"], dependencies=[needed(Role.ADMIN)])
    def audit(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> out.AuditLogOut:
        """What was changed by whom; for admins."""
        entries = panel.gate.audit.latest(limit)
        return out.AuditLogOut(
            entries=[
                out.AuditOut(
                    id=one.number,
                    at_ms=one.at_ms,
                    who=one.who,
                    address=one.address,
                    what=one.what,
                    detail=one.detail,
                )
                for one in entries
            ]
        )


def _add_silences(api: FastAPI, panel: Panel) -> None:
    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    @api.get("/silences", tags=["alerts"])
    def silences() -> out.SilencesOut:
        """Silences made on the page or here; those of the file of rules are not among them."""
        return out.SilencesOut(silences=[_silence_out(kept) for kept in panel.book.silences(now_ms())])

    @api.post("/silences", tags=["alerts"], status_code=201)
    def silence(wanted: out.SilenceIn, caller: Operator) -> out.SilenceOut:
        """Notify nobody of these for some hours; for operators."""
        made = Silence(
            reason=wanted.reason,
            until_ms=now_ms() + int(wanted.hours * 3_600_000),
            rules=tuple(wanted.rules),
            groups=tuple(wanted.groups),
            devices=tuple(wanted.devices),
        )
        number = panel.book.add_silence(made, made_by=caller.name)
        panel.gate.audit.add(
            who=caller.name, address=caller.address, what="silence made", detail=wanted.model_dump_json()
        )
        return _silence_out(KeptSilence(number, made, caller.name))

    @api.delete("/silences/{number}", tags=["alerts"], status_code=204)
    def end_silence(number: Annotated[int, Path(ge=1, le=2**53)], caller: Operator) -> Response:
        """End one; for operators."""
        if not panel.book.end_silence(number):
            raise HTTPException(404, f"silence {number} is not known")
        panel.gate.audit.add(
            who=caller.name, address=caller.address, what="silence ended", detail=str(number)
        )
        return Response(status_code=204)


def _silence_out(kept: KeptSilence) -> out.SilenceOut:
    one = kept.silence
    return out.SilenceOut(
        id=kept.number,
        reason=one.reason,
        until_ms=one.until_ms or 0,
        rules=list(one.rules),
        groups=list(one.groups),
        devices=list(one.devices),
        made_by=kept.made_by,
    )


def _known(panel: Panel, group: str, device: str) -> tuple[DeviceRow, DeviceSummary]:
    found = panel.view.device(DeviceAddress(group, device))
    if found is None:
        raise HTTPException(404, f"device {group}/{device} has not reported")
    return found
