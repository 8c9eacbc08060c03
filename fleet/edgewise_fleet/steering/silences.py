"""Which devices may be silent for longer: read from the registry without touching the file."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from edgewise_fleet.steering.entries import DeviceEntry
from edgewise_messages import DeviceAddress


def silences_of(entries: Iterable[DeviceEntry]) -> Mapping[DeviceAddress, float]:
    """Seconds by device, of those that have any."""
    return {
        entry.address: entry.expected_silence_s for entry in entries if entry.expected_silence_s is not None
    }


def read_silences(path: Path) -> Mapping[DeviceAddress, float]:
    """From the file of a store whose server may never have had a registry."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT entry FROM registry").fetchall()
    except sqlite3.Error:  # no registry; what is wrong with the file itself the store says
        return {}
    return silences_of(msgspec.json.decode(entry, type=DeviceEntry) for (entry,) in rows)
