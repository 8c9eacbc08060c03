"""What the running server knows, for its pages: store, broker connection and collector together."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec.structs import replace

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.models_view import ModelUse, gather_models
from edgewise_fleet.store import DeviceRow, EventRow, Store
from edgewise_fleet.store.base import Points
from edgewise_fleet.summary import DeviceSummary, FleetSummary, Judged, summarise, summarise_device
from edgewise_messages import DeviceAddress

FRESH_S = 0.2
"""All open pages share one reading of the store in this time."""


class Link(Protocol):
    """The connection to the broker, as far as it is shown."""

    connected: bool
    trouble: str


class Intake(Protocol):
    """The collector, as far as it is shown."""

    @property
    def trouble(self) -> str:
        """Why nothing can be stored just now, in words."""


class FleetView:
    """Reads for the pages. Its methods read a file: call them from a thread, not from the event loop."""

    def __init__(
        self,
        store: Store,
        *,
        link: Link,
        intake: Intake,
        broker_url: str,
        silent_after_s: float,
        silences: Callable[[], Mapping[DeviceAddress, float]] = dict,
        others: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """``silences`` reads the devices that have an expected silence of their own; ``others`` has more troubles."""
        self.broker_url = broker_url
        """What devices must be told, as this machine sees it."""
        self._store = store
        self._link = link
        self._intake = intake
        self._silent_after_s = silent_after_s
        self._silences = silences
        self._others = others
        self._lock = threading.Lock()
        self._summary: FleetSummary | None = None
        self._read_at = 0.0
        self._judged = Judged()

    def summary(self) -> FleetSummary:
        """The fleet as of a moment ago; while the store cannot be read, as it was, and why."""
        with self._lock:
            if self._summary is None or time.monotonic() - self._read_at > FRESH_S:
                self._summary = self._read_or_keep(self._summary)
                self._read_at = time.monotonic()
            return self._summary

    def device(self, address: DeviceAddress) -> tuple[DeviceRow, DeviceSummary] | None:
        """One device as told and as judged, or None for one that never reported."""
        for row in self._store.devices():
            if row.address == address:
                silent_after_s = self._silences().get(address, self._silent_after_s)
                return row, summarise_device(row, now_ms=_now_ms(), silent_after_s=silent_after_s)
        return None

    def models(self) -> tuple[ModelUse, ...]:
        """Which models run where."""
        rows = self._store.devices()
        judged = self._judge_rows(rows)
        return gather_models(zip(rows, judged, strict=True))

    def _judge_rows(self, rows: Sequence[DeviceRow]) -> tuple[DeviceSummary, ...]:
        with self._lock:
            return self._judged.of(
                rows, now_ms=_now_ms(), silent_after_s=self._silent_after_s, silences=self._silences()
            )

    def series(self, address: DeviceAddress, metrics: Sequence[str], *, window_s: float) -> dict[str, Points]:
        """The last stretch of some metrics, thinned for a plot."""
        now_ms = _now_ms()
        return self._store.series(address, metrics, since_ms=now_ms - int(window_s * 1000), until_ms=now_ms)

    def series_between(
        self, address: DeviceAddress, metrics: Sequence[str], *, since_ms: int, until_ms: int
    ) -> dict[str, Points]:
        """Metrics between two moments, thinned for a plot."""
        return self._store.series(address, metrics, since_ms=since_ms, until_ms=until_ms)

    def events(self, address: DeviceAddress, *, predictions: bool, limit: int) -> tuple[EventRow, ...]:
        """The latest predictions, or the latest of all other events; newest first."""
        return self._store.events(address, predictions=predictions, limit=limit)

    def _read_or_keep(self, earlier: FleetSummary | None) -> FleetSummary:
        try:
            return self._read()
        except StoreUnusable as error:
            if earlier is None:
                raise
            return replace(earlier, trouble=(*self._troubles(), str(error)))

    def _read(self) -> FleetSummary:
        return summarise(
            self._store.devices(),
            self._store.counts(),
            now_ms=_now_ms(),
            silent_after_s=self._silent_after_s,
            broker_url=self.broker_url,
            broker_connected=self._link.connected,
            trouble=self._troubles(),
            judged=self._judged,
            expected_silence_s=self._silences(),
        )

    def _troubles(self) -> tuple[str, ...]:
        broker = f"broker {self.broker_url}: {self._link.trouble}" if self._link.trouble else ""
        return tuple(trouble for trouble in (broker, self._intake.trouble, *self._others()) if trouble)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
