"""What the telemetry among new records adds: points, latest values, minutes to roll up. Knows no SQL."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import TypeAlias

from edgewise_fleet.store.levels import Level
from edgewise_fleet.store.rows import Key, RecordRow, Rows
from edgewise_messages import Telemetry

PIECE_RECORDS = 500
"""Records whose points are worked out at a time; a database in a process of its own works on the piece before."""

Latest: TypeAlias = tuple[int, int, int, int, int, float]
"""(device_id, metric_id, boot_id, seq, at_ms, value)"""
Unrolled: TypeAlias = tuple[int, int, int]
"""(level, device_id, at_ms)"""
_MetricIds: TypeAlias = tuple[int, ...]
_Values: TypeAlias = tuple[float, ...]
_NUMBERS = frozenset({float, int, bool})


@dataclass(frozen=True)
class PointColumns:
    """Points as columns: that many tuples would cost more than all else that is done with them here."""

    device_ids: list[int] = field(default_factory=list)
    at_ms: list[int] = field(default_factory=list)
    metric_ids: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)

    def add(self, device_id: int, at_ms: int, metric_ids: _MetricIds, values: _Values) -> None:
        """One record's."""
        count = len(values)
        self.device_ids.extend(repeat(device_id, count))
        self.at_ms.extend(repeat(at_ms, count))
        self.metric_ids.extend(metric_ids)
        self.values.extend(values)


class Measuring:
    """One batch; `latest` holds what `points` has gone through so far."""

    def __init__(self, rows: Rows, metrics: Mapping[str, int]) -> None:
        self._rows = [
            (key, device_id, row)
            for key, (device_id, row) in rows.items()
            if isinstance(row.record, Telemetry)
        ]
        self._places = {(device_id, row.at_ms) for _, device_id, row in self._rows}
        self._ids_of = {
            names: tuple(metrics[name] for name in names) for names in {row.names for _, _, row in self._rows}
        }
        self._newest: dict[tuple[int, int], dict[_MetricIds, tuple[int, int, _Values]]] = {}

    @property
    def overlaps(self) -> bool:
        """Whether two records are of one device and time: their points may stand for the same place."""
        return len(self._places) < len(self._rows)

    def points(self) -> Iterator[PointColumns]:
        """All points, of some records at a time."""
        rows = iter(self._rows)
        while some := list(islice(rows, PIECE_RECORDS)):
            columns = PointColumns()
            for key, device_id, row in some:
                self._measure(key, device_id, row, columns)
            yield columns

    def latest(self) -> list[Latest]:
        """Of each device and boot the last value of each metric."""
        found: list[Latest] = []
        for (device_id, boot_id), of_boot in self._newest.items():
            last: dict[int, Latest] = {}
            for ids, (seq, at_ms, values) in sorted(of_boot.items(), key=lambda one: one[1][0]):
                for metric_id, value in zip(ids, values, strict=True):
                    last[metric_id] = (device_id, metric_id, boot_id, seq, at_ms, value)
            found += last.values()
        return found

    def unrolled(self) -> list[Unrolled]:
        """The minutes that changed."""
        width_ms = Level.MINUTE.width_ms
        minutes = {(device_id, at_ms - at_ms % width_ms) for device_id, at_ms in self._places}
        return [(int(Level.MINUTE), *minute) for minute in sorted(minutes)]

    def _measure(self, key: Key, device_id: int, row: RecordRow, columns: PointColumns) -> None:
        assert isinstance(row.record, Telemetry)
        ids, values = _finite(self._ids_of[row.names], row.record.metrics.values())
        columns.add(device_id, row.at_ms, ids, values)
        boot_id, seq = key
        of_boot = self._newest.get((device_id, boot_id))
        if of_boot is None:
            of_boot = self._newest[device_id, boot_id] = {}
        # Keys come in order, so that of each boot the last value stays.
        of_boot[ids] = (seq, row.at_ms, values)


def _finite(ids: _MetricIds, values: Iterable[object]) -> tuple[_MetricIds, _Values]:
    """Those that are numbers, with their metrics; infinite and undefined values are no points."""
    values = tuple(values)
    if _NUMBERS.issuperset(map(type, values)):
        with suppress(OverflowError):
            floats = tuple(map(float, values))  # type: ignore[arg-type]  # their types were looked at
            # One that is not finite leaves the sum not finite. A sum that is too large only takes the longer way.
            if (total := sum(floats)) - total == 0.0:
                return ids, floats
    found = [
        (one, number)
        for one, value in zip(ids, values, strict=True)
        if (number := _number(value)) is not None
    ]
    return tuple(one for one, _ in found), tuple(number for _, number in found)


def _number(value: object) -> float | None:
    """A metric as a float; True is 1, and what is no finite number is None."""
    if isinstance(value, int | float):
        with suppress(OverflowError):
            number = float(value)
            return number if math.isfinite(number) else None
    return None
