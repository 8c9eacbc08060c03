"""Snapshots inside a running server."""

from contextlib import ExitStack
from pathlib import Path

from edgewise_fleet.broker_url import BrokerUrl
from edgewise_fleet.keys import read_key
from edgewise_fleet.mqtt import CommandLink
from edgewise_fleet.snapshots.choose import open_snapshots
from edgewise_fleet.snapshots.desk import SnapshotDesk
from edgewise_fleet.store import EventRow, FleetReader
from edgewise_messages import Channel, DeviceAddress, subscription

EVENTS = 300
"""Of a device, newest first, among which the one that names a snapshot is looked for."""


def start_snapshots(
    address: str, *, records: FleetReader, url: BrokerUrl, key: Path | None, stack: ExitStack
) -> SnapshotDesk:
    """Open what is kept; with a key also ask and hear. Raises KeyProblem, BrokerRefused, StoreUnusable."""
    book = open_snapshots(address)
    stack.callback(book.close)

    def label_of(device: DeviceAddress, snapshot: str) -> str:
        events = records.events(device, predictions=False, limit=EVENTS)
        return next((label for name, label in named_in(events) if name == snapshot), "")

    desk = SnapshotDesk(book, label_of=label_of)
    if key is not None:
        read_key(key)
        link = CommandLink(
            url,
            answers=(subscription(Channel.RESPONSE), subscription(Channel.SNAPSHOT)),
            on_message=desk.hear,
        )
        link.start()
        stack.callback(link.stop)
        desk.connect(link, key)
    desk.start()
    stack.callback(desk.stop)
    return desk


def named_in(events: tuple[EventRow, ...]) -> list[tuple[str, str]]:
    """Snapshots that a device's events tell of, newest first: its name for each, and what it saw."""
    return [
        (str(data["snapshot"]), str(data.get("label") or row.event.message))
        for row in events
        if "snapshot" in (data := row.event.data)
    ]
