"""What is taken out of a store as rows, and the SQL that both databases understand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

_BUCKETS = ("count", "sum", "min", "max", "last")
TABLES = {
    "points": "points", "minutes": "rollup_minute", "hours": "rollup_hour", "days": "rollup_day", "records": "records"
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Rows of one table, in no particular order."""

    table: str
    """One of TABLES."""
    since_ms: int = 0
    until_ms: int = 2**62
    """Not included."""
    group: str | None = None
    metrics: Sequence[str] = ()
    """Empty is all."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what each row holds; the first is milliseconds since 1970."""
        if self.table == "records":
            return (
                "at_ms",
                "group",
                "device",
                "type",
                "name",
                "boot",
                "seq",
                "ts_ms",
                "received_ms",
                "record",
            )
        return ("at_ms", "group", "device", "metric", *(("value",) if self.table == "points" else _BUCKETS))

    def query(self, mark: str) -> tuple[str, list[Any]]:
        """The question and its values; ``mark`` is the database's placeholder."""
        table = TABLES[self.table]
        values: list[Any] = [self.since_ms, self.until_ms]
        where = f"t.at_ms >= {mark} AND t.at_ms < {mark}"
        if self.group is not None:
            where += f" AND d.group_name = {mark}"
            values.append(self.group)
        if self.table == "records":
            return (
                "SELECT t.at_ms, d.group_name, d.device, t.type, t.name, b.boot, t.seq, t.ts_ms, t.received_ms,"
                " t.payload"
                f" FROM records AS t JOIN devices AS d ON d.id = t.device_id JOIN boots AS b ON b.id = t.boot_id"
                f" WHERE {where}"
            ), values
        if self.metrics:
            where += f" AND m.name IN ({', '.join([mark] * len(self.metrics))})"
            values += self.metrics
        chosen = "".join(f", t.{name}" for name in self.columns[4:])
        return (
            f"SELECT t.at_ms, d.group_name, d.device, m.name{chosen} FROM {table} AS t"
            f" JOIN devices AS d ON d.id = t.device_id JOIN metrics AS m ON m.id = t.metric_id WHERE {where}"
        ), values


class Exporter(Protocol):
    """A store whose rows can be taken out while it is written to."""

    def rows(self, selection: Selection) -> Iterator[tuple[Any, ...]]:
        """The rows as of one moment, few of them in memory at a time. Raises StoreUnusable."""

    def close(self) -> None:
        """Release what is held."""
