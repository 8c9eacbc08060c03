"""Questions about the fleet, answered from the store's file or by a running server."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import msgspec

from edgewise_fleet import wording
from edgewise_fleet.errors import AccessProblem, FleetUnreachable, UnknownDevice
from edgewise_fleet.store import open_store
from edgewise_fleet.summary import DEFAULT_SILENT_AFTER_S, DeviceSummary, FleetSummary, summarise
from edgewise_messages import DeviceAddress

URL_TIMEOUT_S = 10.0
SHOWN_EVENTS = 10
Point = tuple[int, float]


class EventLine(msgspec.Struct, frozen=True):
    """An event in short."""

    at_ms: int
    name: str
    severity: str
    message: str


class Detail(msgspec.Struct, frozen=True):
    """A device and its latest events."""

    device: DeviceSummary
    events: tuple[EventLine, ...]


class Source(Protocol):
    """Where answers come from."""

    def fleet(self) -> FleetSummary:
        """All devices."""

    def events(self, address: DeviceAddress) -> tuple[EventLine, ...]:
        """A device's latest."""

    def course(self, address: DeviceAddress, metric: str, *, since_ms: int, until_ms: int) -> Sequence[Point]:
        """A metric over time."""


class StoreSource:
    """The store alone."""

    def __init__(self, address: str) -> None:
        self._store = open_store(address, read_only=True)

    def fleet(self) -> FleetSummary:
        """All devices, judged now."""
        return summarise(
            self._store.devices(),
            self._store.counts(),
            now_ms=_now_ms(),
            silent_after_s=DEFAULT_SILENT_AFTER_S,
        )

    def events(self, address: DeviceAddress) -> tuple[EventLine, ...]:
        """A device's latest."""
        rows = self._store.events(address, predictions=False, limit=SHOWN_EVENTS)
        return tuple(
            EventLine(row.at_ms, row.event.name, row.event.severity.value, row.event.message) for row in rows
        )

    def course(self, address: DeviceAddress, metric: str, *, since_ms: int, until_ms: int) -> Sequence[Point]:
        """A metric over time."""
        return self._store.series(address, [metric], since_ms=since_ms, until_ms=until_ms)[metric]


class UrlSource:
    """A running server."""

    def __init__(self, url: str, token: str = "") -> None:
        """Raises FleetUnreachable for an address of another kind."""
        if not url.startswith(("http://", "https://")):
            raise FleetUnreachable(
                f"--url: got {url!r}, expected http://host:port, for example http://127.0.0.1:8080"
            )
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def fleet(self) -> FleetSummary:
        """All devices. Raises FleetUnreachable or AccessProblem, as the others do."""
        return msgspec.json.decode(self._get("/api/devices"), type=FleetSummary)

    def events(self, address: DeviceAddress) -> tuple[EventLine, ...]:
        """A device's latest."""
        path = f"{_path(address)}/events?limit={SHOWN_EVENTS}"
        return msgspec.json.decode(self._get(path), type=dict[str, tuple[EventLine, ...]])["events"]

    def course(self, address: DeviceAddress, metric: str, *, since_ms: int, until_ms: int) -> Sequence[Point]:
        """A metric over time."""
        asked = urlencode({"metric": metric, "since_ms": since_ms, "until_ms": until_ms})
        answer: dict[str, Any] = msgspec.json.decode(self._get(f"{_path(address)}/series?{asked}"))
        return [(int(at_ms), float(value)) for at_ms, value in answer["series"][metric]]

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(self._url + path, headers=self._headers)
        try:
            with urllib.request.urlopen(request, timeout=URL_TIMEOUT_S) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (401, 403):
                    raise AccessProblem(
                        f"fleet server {self._url}: asks for a token; make one there"
                        " (edgewise fleet tokens add NAME) and give it by --token-file"
                    ) from error
                raise FleetUnreachable(f"fleet server {self._url}{path}: answered {error.code}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise FleetUnreachable(
                f"fleet server {self._url}: {getattr(reason, 'strerror', None) or reason};"
                " is `edgewise fleet serve` running there?"
            ) from error


class Looker:
    """The questions."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def devices(self, *, group: str = "", condition: str = "", model: str = "") -> tuple[DeviceSummary, ...]:
        """Those that fit."""
        return tuple(
            one
            for one in self._source.fleet().devices
            if (not group or one.group == group)
            and (not condition or one.condition.value == condition)
            and (not model or model in one.model.split(", "))
        )

    def device(self, name: str) -> Detail:
        """One device, by DEVICE or GROUP/DEVICE. Raises UnknownDevice."""
        found = self._find(name)
        return Detail(found, self._source.events(DeviceAddress(found.group, found.device)))

    def course(self, name: str, metric: str, *, hours: float) -> Sequence[Point]:
        """A metric of one device over time. Raises UnknownDevice."""
        found, now_ms = self._find(name), _now_ms()
        since_ms = max(0, now_ms - int(hours * 3_600_000))
        address = DeviceAddress(found.group, found.device)
        return self._source.course(address, metric, since_ms=since_ms, until_ms=now_ms)

    def latest(self, metric: str) -> dict[str, float]:
        """The latest value of every device that told one. Raises UnknownDevice where none did."""
        devices = self._source.fleet().devices
        found = {f"{one.group}/{one.device}": one.metrics[metric] for one in devices if metric in one.metrics}
        if not found:
            raise UnknownDevice(
                f"query: no device has told {metric!r}; `edgewise fleet device NAME` lists what one tells"
            )
        return found

    def _find(self, name: str) -> DeviceSummary:
        devices = self._source.fleet().devices
        found = [one for one in devices if name in (one.device, f"{one.group}/{one.device}")]
        if len(found) == 1:
            return found[0]
        if not found:
            raise UnknownDevice(
                f"device {name!r} has not reported; `edgewise fleet devices` lists those that did"
            )
        groups = ", ".join(f"{one.group}/{one.device}" for one in found)
        raise UnknownDevice(f"device {name!r} is in several groups: say which, {groups}")


def open_looker(store: str, url: str | None, token_file: Path | None) -> Looker:
    """Ask the server if there is an address, else the file."""
    if url is None:
        return Looker(StoreSource(store))
    return Looker(UrlSource(url, read_token(token_file)))


def read_token(path: Path | None) -> str:
    """The token of a file. Raises AccessProblem."""
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessProblem(f"token file {path}: {getattr(error, 'strerror', None) or 'not text'}") from error


def to_json(value: object) -> str:
    """Readable JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def device_lines(devices: Sequence[DeviceSummary]) -> list[str]:
    """One line each, tab-separated."""
    now_ms = _now_ms()
    return [
        "\t".join(
            (
                f"{one.group}/{one.device}",
                wording.condition(one, now_ms),
                one.model or wording.NOT_TOLD,
                wording.number(one.latency_p50_ms),
                wording.number(one.latency_p95_ms),
            )
        )
        for one in devices
    ]


def detail_lines(detail: Detail) -> list[str]:
    """Facts, metrics and events of one device."""
    one, now_ms = detail.device, _now_ms()
    lines = [
        f"{one.group}/{one.device}: {wording.condition(one, now_ms)}, {wording.seen(one.last_seen_ms, now_ms)}"
    ]
    facts = (
        one.model,
        one.precision,
        one.backend,
        one.board,
        one.agent_version and f"agent {one.agent_version}",
    )
    lines += [", ".join(fact for fact in facts if fact)] if any(facts) else []
    lines += [f"  {name:36} {value:.6g}" for name, value in sorted(one.metrics.items())]
    lines += [
        f"{wording.local_time(event.at_ms)} {event.severity} {event.name} {event.message}".rstrip()
        for event in detail.events
    ]
    return lines


def _path(address: DeviceAddress) -> str:
    return f"/api/v1/devices/{quote(address.group)}/{quote(address.device)}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
