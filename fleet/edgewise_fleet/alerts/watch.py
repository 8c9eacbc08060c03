"""The two threads of alerting: one judges the fleet, one delivers; neither ever holds up what devices send."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from edgewise_fleet.alerts.book import AlertBook, Delivery, KeptAlert
from edgewise_fleet.alerts.channels import Channel, NotDelivered
from edgewise_fleet.alerts.engine import Engine, Heard, Observed
from edgewise_fleet.alerts.notice import make_notice
from edgewise_fleet.alerts.rules import SEVERITIES, EventRule, RuleFile
from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import EventRow
from edgewise_fleet.summary import FleetSummary
from edgewise_messages import DeviceAddress

log = logging.getLogger(__name__)

JUDGE_EVERY_S = 5.0
DELIVER_EVERY_S = 1.0
RETRY_MIN_S, RETRY_MAX_S = 5.0, 900.0
HELD_EVENTS = 100_000
CAUGHT_UP_EVENTS = 50
"""Events per device that are looked at after a start, for those that came while nobody judged."""


class Fleet(Protocol):
    """What is judged."""

    def summary(self) -> FleetSummary:
        """The fleet now."""

    def events(self, address: DeviceAddress, *, predictions: bool, limit: int) -> tuple[EventRow, ...]:
        """The latest events of a device, newest first."""


class AlertWatch:
    """Judges regularly and notifies; `stop` ends both threads."""

    def __init__(
        self,
        fleet: Fleet,
        book: AlertBook,
        rules: RuleFile,
        channels: Sequence[Channel],
        *,
        heard: deque[Heard] | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        judge_every_s: float = JUDGE_EVERY_S,
    ) -> None:
        """``heard`` is where whoever stores events puts them; without it, they come by `hear`."""
        self.trouble = ""
        """Why alerts cannot be judged just now; empty while all is well."""
        self._fleet = fleet
        self._book = book
        self._rules = rules
        self._channels = {channel.name: channel for channel in channels}
        self._now_ms = now_ms
        self._events: deque[Heard] = deque(maxlen=HELD_EVENTS) if heard is None else heard
        self._wanted = {
            name
            for rule in rules.rule
            if isinstance(rule, EventRule)
            for name in (*rule.events, *rule.clear_events)
        }
        self._engine: Engine | None = None
        self._untold_since_ms = 0
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(step, every_s), name=name, daemon=True)
            for name, step, every_s in (
                ("alerts", self.judge, judge_every_s),
                ("notifier", self.deliver, DELIVER_EVERY_S),
            )
        ]

    def start(self) -> None:
        """Begin to judge and to deliver."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what is not delivered yet is after the next start."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def hear(self, heard: Heard) -> None:
        """Take an event that was stored just now; never waits."""
        self._events.append(heard)

    def judge(self) -> None:
        """Judge once, keep what changed, and queue what is to be told."""
        now_ms = self._now_ms()
        fleet = self._fleet.summary()
        waiting = [self._events.popleft() for _ in range(len(self._events))]
        events = [one for one in waiting if one.event.name in self._wanted]
        if self._engine is None:
            active = tuple(kept.alert for kept in self._book.active())
            self._engine = Engine(self._rules.rule, active)
            events = [*self._missed(fleet), *events]
        changed = self._engine.judge(
            Observed(now_ms=now_ms, devices=fleet.devices, events=events, trouble=fleet.trouble)
        )
        try:
            self._book.keep(changed, judged_ms=now_ms)
        except StoreUnusable:
            # What the engine now believes was not kept: begin again from what was, with the same events.
            self._engine = None
            self._events.extendleft(reversed(events))
            raise
        self._tell(now_ms)

    def deliver(self) -> None:
        """Send what is due; what fails waits twice as long each time."""
        now_ms = self._now_ms()
        for delivery in self._book.due(now_ms):
            if self._stopping.is_set():
                return
            self._deliver_one(delivery, now_ms)

    def _deliver_one(self, delivery: Delivery, now_ms: int) -> None:
        channel = self._channels.get(delivery.channel)
        if channel is None:
            log.warning("%s: no longer configured; its notification is dropped", delivery.channel)
            self._book.delivered(delivery.number)
            return
        try:
            channel.send(delivery.body)
        except NotDelivered as error:
            if now_ms - delivery.made_ms > self._rules.notify.give_up_after_s * 1000:
                log.error("%s; given up", error)
                self._book.delivered(delivery.number)
                return
            wait_s = min(RETRY_MAX_S, RETRY_MIN_S * 2**delivery.tries)
            log.warning("%s; trying again in %.0f s", error, wait_s)
            self._book.put_off(delivery.number, until_ms=now_ms + int(wait_s * 1000), trouble=str(error))
        else:
            self._book.delivered(delivery.number)

    def _missed(self, fleet: FleetSummary) -> list[Heard]:
        """Events that were stored after the last judging of the run before."""
        since_ms = self._book.judged_ms()
        if not since_ms or not self._wanted:
            return []
        found = []
        for device in fleet.devices:
            if device.last_seen_ms < since_ms:
                continue
            address = DeviceAddress(device.group, device.device)
            rows = self._fleet.events(address, predictions=False, limit=CAUGHT_UP_EVENTS)
            found += [
                Heard(address, row.event, row.at_ms)
                for row in rows
                if row.at_ms >= since_ms and row.event.name in self._wanted
            ]
        return found

    def _tell(self, now_ms: int) -> None:
        least = SEVERITIES.index(self._rules.notify.min_severity)
        ready = [
            kept
            for kept in self._book.untold()
            if SEVERITIES.index(kept.alert.severity) >= least and not self._is_silenced(kept, now_ms)
        ]
        if not ready or not self._channels:
            self._untold_since_ms = 0
            return
        self._untold_since_ms = self._untold_since_ms or now_ms
        if now_ms - self._untold_since_ms < self._rules.notify.group_wait_s * 1000:
            return
        body = msgspec.json.encode(make_notice(ready))
        self._book.tell(tuple(ready), tuple((name, body) for name in self._channels), now_ms=now_ms)
        self._untold_since_ms = 0

    def _is_silenced(self, kept: KeptAlert, now_ms: int) -> bool:
        if not kept.alert.is_active:
            return False  # whoever was told of it is told that it is over
        made = [one.silence for one in self._book.silences(now_ms)]
        target = kept.alert.target
        return any(
            one.covers(rule=kept.alert.rule, group=target.group, device=target.device, now_ms=now_ms)
            for one in (*self._rules.silence, *made)
        )

    def _run(self, step: Callable[[], None], every_s: float) -> None:
        while not self._stopping.wait(every_s):
            try:
                step()
            except StoreUnusable as error:
                self._say(str(error))
            except Exception as error:
                # Nobody waits for this thread: without this its end would look like a fleet without alerts.
                log.exception("alerts")
                self._say(f"alerts: {error!r}; see the server's log")
            else:
                if step == self.judge:
                    self.trouble = ""

    def _say(self, trouble: str) -> None:
        if not self.trouble:
            log.error("%s; trying again", trouble)
        self.trouble = trouble
