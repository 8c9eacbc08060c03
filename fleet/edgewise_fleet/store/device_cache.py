"""Ten thousand devices read again and again: only what changed is read anew."""

import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from edgewise_fleet.store.base import DeviceRow

SETTLED_AFTER_MS = 1000
Row: TypeAlias = tuple[Any, ...]


class DeviceCache:
    """The devices as they were at the last reading. Not for several threads at once.

    Whatever a device sends changes its last_seen_ms, so an equal row has equal metrics, but for records of one
    millisecond in two transactions: what was heard just now is therefore read again. Devices that are the same are the
    same objects, so that whoever reads can tell what changed.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Row, DeviceRow]] = {}

    def read(
        self, reader: sqlite3.Connection, make_row: Callable[[Row, dict[str, float]], DeviceRow]
    ) -> tuple[DeviceRow, ...]:
        """Every device, ordered by group and name."""
        rows = reader.execute(
            "SELECT id, group_name, device, first_seen_ms, last_seen_ms, state, state_since_ms,"
            " state_reason, meta FROM devices ORDER BY group_name, device"
        ).fetchall()
        settled_ms = time.time_ns() // 1_000_000 - SETTLED_AFTER_MS
        known, made = self._known, {}
        for row in rows:
            earlier = known.get(row[0])
            if earlier is not None and earlier[0] == row and row[4] < settled_ms:
                made[row[0]] = earlier
        fresh = [row for row in rows if row[0] not in made]
        metrics = _read_metrics(reader, [row[0] for row in fresh], is_most=len(fresh) > len(rows) // 2)
        for row in fresh:
            one = (row, make_row(row, metrics[row[0]]))
            earlier = known.get(row[0])
            made[row[0]] = earlier if earlier == one and earlier is not None else one
        self._known = made
        return tuple(made[row[0]][1] for row in rows)


def _read_metrics(
    reader: sqlite3.Connection, devices: list[int], *, is_most: bool
) -> dict[int, dict[str, float]]:
    """The latest values, by device and name."""
    names = dict(reader.execute("SELECT id, name FROM metrics"))
    latest: dict[int, dict[str, float]] = {device: {} for device in devices}
    query = "SELECT device_id, metric_id, value FROM latest"
    found: Iterable[tuple[int, int, float]]
    if is_most:
        found = reader.execute(query)
    else:
        found = (
            one for device in devices for one in reader.execute(f"{query} WHERE device_id = ?", (device,))
        )
    for device, metric, value in found:
        # A metric that came between the two questions is there at the next reading.
        if device in latest and metric in names:
            latest[device][names[metric]] = value
    return {device: dict(sorted(values.items())) for device, values in latest.items()}
