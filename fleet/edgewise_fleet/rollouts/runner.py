"""Runs rollouts: looks, lets the engine decide, saves, and only then sends. Killed anywhere, it goes on from there.

Of several servers on one store one has the turn; the others stand by, hearing what devices answer.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from edgewise_fleet.commanding import sign
from edgewise_fleet.errors import FleetError
from edgewise_fleet.message import Message
from edgewise_fleet.rollouts.engine import Order, Step, advance
from edgewise_fleet.rollouts.observation import Observation, observe
from edgewise_fleet.rollouts.plan import is_meant
from edgewise_fleet.rollouts.state import DevicePhase, DeviceProgress, Phase, Rollout
from edgewise_fleet.steering.base import Registry, RolloutStore, Turn
from edgewise_fleet.steering.entries import DeviceEntry
from edgewise_fleet.store import DeviceRow, EventRow, Store
from edgewise_messages import (
    Channel,
    Command,
    DeviceAddress,
    MessageError,
    Response,
    decode_notice,
    encode_notice,
    parse_topic,
)

TICK_S = 2.0
EVENTS = 100
"""Of a device, newest first: enough to find its verdict among other events."""
WATCHED_AFTER_MS = 600_000
"""So long after a rollback devices are watched for a switch that was under way when it was called off."""
RESPONSES = 50_000

log = logging.getLogger(__name__)


class Publishes(Protocol):
    """The connection that commands go by."""

    def publish(self, topic: str, payload: bytes) -> None:
        """At least once."""


class RolloutRunner:
    """One thread. `hear` may be called from another."""

    def __init__(
        self,
        records: Store,
        steering: RolloutStore,
        registry: Registry,
        turn: Turn,
        *,
        link: Publishes,
        key: Path,
        silent_after_s: float,
        tick_s: float = TICK_S,
    ) -> None:
        self.trouble = ""
        """Why rollouts stand still, in words."""
        self._records = records
        self._steering = steering
        self._registry = registry
        self._turn = turn
        self._is_my_turn: bool | None = None
        self._link = link
        self._key = key
        self._silent_after_s = silent_after_s
        self._tick_s = tick_s
        self._responses: dict[str, Response] = {}
        self._events: dict[DeviceAddress, tuple[int, tuple[EventRow, ...]]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """After the look at hand."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def hear(self, message: Message) -> None:
        """A device's response; what is none is passed over."""
        with suppress(MessageError):
            _, channel = parse_topic(message.topic)
            if channel is Channel.RESPONSE:
                response = decode_notice(message.payload, Response)
                while len(self._responses) >= RESPONSES:
                    self._responses.pop(next(iter(self._responses)), None)
                self._responses[response.id] = response

    def look(self) -> bool:
        """Once over every rollout that is not over; whether there was any for this process. Raises FleetError."""
        if not self._has_turn():
            return False
        rollouts = self._steering.rollouts()
        now_ms = _now_ms()
        active = [one for one in rollouts if is_active(one, now_ms, is_latest=one is rollouts[-1])]
        if not active:
            self._events.clear()
            self._responses.clear()
            return False
        rows = self._records.devices()
        entries = {entry.address: entry for entry in self._registry.entries()}
        for rollout in active:
            self._advance(rollout, rows, entries)
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
                self.trouble = ""
            except FleetError as error:
                self._say(f"rollouts: {error}")
            except Exception as error:  # the thread must outlive whatever comes
                log.exception("rollouts: unexpected error")
                self._say(f"rollouts: {error!r}")
            self._stopping.wait(self._tick_s)

    def _has_turn(self) -> bool:
        is_mine = self._turn.take_turn()
        if is_mine is not self._is_my_turn:
            log.info("rollouts: %s", "carried out here" if is_mine else "another server has the turn")
        self._is_my_turn = is_mine
        return is_mine

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.error("%s; trying again", trouble)
        self.trouble = trouble

    def _advance(
        self, rollout: Rollout, rows: Sequence[DeviceRow], entries: Mapping[DeviceAddress, DeviceEntry]
    ) -> None:
        devices = self._steering.progress(rollout.id)
        now_ms = _now_ms()
        seen = {
            row.address: self._observe(
                row, devices.get(row.address), entries.get(row.address), rollout, now_ms
            )
            for row in rows
            if row.address in devices or is_meant(rollout.plan, row.address, entries.get(row.address))
        }
        step = advance(rollout, devices, seen, now_ms)
        if step.rollout == rollout and not step.changed:
            return
        if self._save(step):
            for order in step.orders:
                self._send(order)
            for decision in step.decisions:
                log.info("rollout %s: %s %s: %s", rollout.id, decision.device, decision.what, decision.reason)

    def _save(self, step: Step) -> bool:
        """False when a person changed the rollout meanwhile: then the next look decides anew."""
        changed = [step.devices[address] for address in step.changed]
        return self._steering.save(step.rollout, changed, step.decisions)

    def _observe(
        self,
        row: DeviceRow,
        progress: DeviceProgress | None,
        entry: DeviceEntry | None,
        rollout: Rollout,
        now_ms: int,
    ) -> Observation:
        silence_s = entry.expected_silence_s if entry else None
        return observe(
            row,
            now_ms=now_ms,
            silent_after_s=silence_s if silence_s is not None else self._silent_after_s,
            pipeline=rollout.plan.pipeline,
            events=self._events_of(row, progress),
            response=self._responses.get(progress.command_id) if progress else None,
        )

    def _events_of(self, row: DeviceRow, progress: DeviceProgress | None) -> tuple[EventRow, ...]:
        """Read anew only when the device said something."""
        if progress is not None and progress.phase is DevicePhase.LEFT_OUT:
            self._events.pop(row.address, None)
            return ()
        at_ms, events = self._events.get(row.address, (-1, ()))
        if at_ms != row.last_seen_ms:
            events = self._records.events(row.address, predictions=False, limit=EVENTS)
            events = tuple(one for one in events if one.event.name.startswith("update."))
            self._events[row.address] = (row.last_seen_ms, events)
        return events

    def _send(self, order: Order) -> None:
        command = Command(
            id=order.command_id,
            name=order.name,
            issued_ms=order.issued_ms,
            expires_ms=order.expires_ms,
            arguments=dict(order.arguments),
        )
        signed = sign(command, order.address, self._key)
        self._link.publish(order.address.topic(Channel.COMMAND), encode_notice(signed))


def is_active(rollout: Rollout, now_ms: int, *, is_latest: bool) -> bool:
    """Whether anything is to be looked at."""
    if rollout.phase is Phase.HALTED:
        return is_latest and now_ms - rollout.ended_ms < WATCHED_AFTER_MS
    return rollout.phase is not Phase.DONE


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
