"""What a store holds, as a Parquet or CSV file; the only file that knows duckdb."""

import csv
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgewise_fleet.errors import BadChoice
from edgewise_fleet.store import open_store
from edgewise_fleet.store.selection import TABLES, Exporter, Selection

_TYPES = {
    "at_ms": "BIGINT", "value": "DOUBLE", "count": "BIGINT", "sum": "DOUBLE", "min": "DOUBLE", "max": "DOUBLE",
    "last": "DOUBLE", "seq": "BIGINT", "ts_ms": "BIGINT", "received_ms": "BIGINT",
}  # fmt: skip
"""Of the columns in Parquet; all others are texts."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What `edgewise fleet export` was told."""

    store: str
    file: Path
    table: str = "points"
    since: str | None = None
    until: str | None = None
    group: str | None = None
    metrics: list[str]


def export_store(settings: ExportSettings) -> int:
    """Write the file, whole or not at all; return its rows. Raises BadChoice or StoreUnusable."""
    if settings.file.suffix not in (".parquet", ".csv"):
        raise BadChoice(f"{settings.file}: expected a name that ends in .parquet or .csv")
    if settings.table not in TABLES:
        raise BadChoice(f"--table: got {settings.table!r}, expected one of {', '.join(TABLES)}")
    if settings.metrics and settings.table == "records":
        raise BadChoice("--metric: records hold several metrics each; leave it out, or export points")
    selection = Selection(
        table=settings.table,
        since_ms=_time_ms(settings.since, "--since") if settings.since else 0,
        until_ms=_time_ms(settings.until, "--until") if settings.until else 2**62,
        group=settings.group,
        metrics=settings.metrics,
    )
    store = open_store(settings.store, read_only=True)
    try:
        return _write(store, selection, settings.file)
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        raise BadChoice(f"{settings.file}: {error.strerror or error}") from error
    finally:
        store.close()


def _write(store: Exporter, selection: Selection, file: Path) -> int:
    """Beside, then renamed: a broken export leaves no half a file under the name."""
    with tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as folder:
        as_csv, made = Path(folder) / "rows.csv", Path(folder) / "made"
        is_csv = file.suffix == ".csv"
        rows = _write_csv(store.rows(selection), selection, as_csv, readable=is_csv)
        if is_csv:
            made = as_csv
        else:
            _to_parquet(as_csv, selection, made)
        with made.open("rb") as handle:
            os.fsync(handle.fileno())
        made.replace(file)
    return rows


def _write_csv(rows: Iterator[tuple[Any, ...]], selection: Selection, path: Path, *, readable: bool) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as handle:
        writer = csv.writer(handle)
        writer.writerow(("at_utc" if readable else "at_ms", *selection.columns[1:]))
        for at_ms, *rest in rows:
            cells = [cell.decode("utf-8") if isinstance(cell, bytes) else cell for cell in rest]
            writer.writerow((_iso(at_ms) if readable else at_ms, *cells))
            count += 1
    return count


def _to_parquet(as_csv: Path, selection: Selection, made: Path) -> None:
    import duckdb

    columns = {name: _TYPES.get(name, "VARCHAR") for name in selection.columns}
    with duckdb.connect() as connection:
        read = connection.read_csv(
            str(as_csv), columns=columns, header=True, quotechar='"', escapechar='"', parallel=False
        )
        rest = ", ".join(f'"{name}"' for name in selection.columns[1:])
        read.project(f"epoch_ms(at_ms) AS at_utc, {rest}").write_parquet(str(made), compression="zstd")


def _iso(at_ms: int) -> str:
    try:
        return (
            datetime.fromtimestamp(at_ms / 1000, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
    except (OverflowError, ValueError):
        return str(at_ms)


def _time_ms(text: str, option: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadChoice(
            f"{option}: got {text!r}, expected a time such as 2026-11-01 or 2026-11-01T12:00"
        ) from error
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
