"""Registry and rollouts inside a running server."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from edgewise_fleet.broker_url import BrokerUrl
from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.keys import read_key
from edgewise_fleet.mqtt import CommandLink
from edgewise_fleet.rollouts.runner import RolloutRunner
from edgewise_fleet.rollouts.shown import ShownRollouts
from edgewise_fleet.rollouts.wishes import OPEN
from edgewise_fleet.steering.choose import open_steering
from edgewise_fleet.steering.entries import positions_of
from edgewise_fleet.steering.kept import KeptSteering
from edgewise_fleet.steering.positions import Position
from edgewise_fleet.steering.silences import silences_of
from edgewise_fleet.store import Store
from edgewise_messages import Channel, DeviceAddress, subscription

FRESH_S = 5.0

log = logging.getLogger(__name__)


class Steering:
    """What pages need of it."""

    def __init__(self, store: KeptSteering) -> None:
        self.runner: RolloutRunner | None = None
        self._store = store
        self.rollouts = ShownRollouts(store)
        self._read_at = float("-inf")
        self._silences: Mapping[DeviceAddress, float] = {}
        self._positions: Mapping[DeviceAddress, Position] = {}
        self._waiting = 0

    def silences(self) -> Mapping[DeviceAddress, float]:
        """Devices with an expected silence of their own, as of a few seconds ago."""
        self._refresh()
        return self._silences

    def positions(self) -> Mapping[DeviceAddress, Position]:
        """Devices whose location says where on earth, as of a few seconds ago."""
        self._refresh()
        return self._positions

    def troubles(self) -> Sequence[str]:
        """What the operator should know."""
        if self.runner is not None:
            return [self.runner.trouble] if self.runner.trouble else []
        self._refresh()
        if not self._waiting:
            return []
        return [f"rollouts: {self._waiting} wait; start the server with --rollout-key KEY to sign commands"]

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < FRESH_S:
            return
        try:
            entries = self._store.entries()
            self._silences, self._positions = silences_of(entries), positions_of(entries)
            # Another server of the same database may have a key.
            taken = self._store.is_turn_taken()
            self._waiting = 0 if taken else sum(one.phase in OPEN for one in self._store.rollouts())
        except StoreUnusable as error:
            log.error("registry: %s", error)
        self._read_at = time.monotonic()


def start_steering(
    address: str, *, records: Store, url: BrokerUrl, key: Path | None, silent_after_s: float, stack: ExitStack
) -> Steering:
    """Open the registry; with a key also run rollouts. Raises KeyProblem, BrokerRefused, StoreUnusable."""
    store = open_steering(address)
    stack.callback(store.close)
    steering = Steering(store)
    if key is not None:
        read_key(key)
        steering.runner = _start_runner(store, records, url, key, silent_after_s, stack)
    return steering


def _start_runner(
    store: KeptSteering, records: Store, url: BrokerUrl, key: Path, silent_after_s: float, stack: ExitStack
) -> RolloutRunner:
    link = CommandLink(
        url, answers=[subscription(Channel.RESPONSE)], on_message=lambda message: runner.hear(message)
    )
    runner = RolloutRunner(records, store, store, store, link=link, key=key, silent_after_s=silent_after_s)
    link.start()
    stack.callback(link.stop)
    runner.start()
    stack.callback(runner.stop)
    return runner
