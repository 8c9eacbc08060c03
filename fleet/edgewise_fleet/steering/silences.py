"""Which devices may be silent for longer: read from the registry without touching the store."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.steering.choose import open_steering
from edgewise_fleet.steering.entries import DeviceEntry
from edgewise_fleet.store import is_postgres
from edgewise_messages import DeviceAddress


def silences_of(entries: Iterable[DeviceEntry]) -> Mapping[DeviceAddress, float]:
    """Seconds by device, of those that have any."""
    return {
        entry.address: entry.expected_silence_s for entry in entries if entry.expected_silence_s is not None
    }


def read_silences(address: str) -> Mapping[DeviceAddress, float]:
    """Of a store whose server may never have had a registry."""
    if is_postgres(address):
        try:
            with closing(open_steering(address, create=False)) as steering:
                return silences_of(steering.entries())
        except StoreUnusable:  # what is wrong with the database itself the records' store says
            return {}
    try:
        uri = f"{Path(address).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            rows = connection.execute("SELECT entry FROM registry").fetchall()
    except sqlite3.Error:  # no registry; what is wrong with the file itself the store says
        return {}
    return silences_of(msgspec.json.decode(entry, type=DeviceEntry) for (entry,) in rows)
