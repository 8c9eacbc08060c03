"""The registry as a file that people edit: CSV for spreadsheets, JSON for scripts. All of a file or nothing."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgewise_fleet.errors import BadEntry
from edgewise_fleet.steering.entries import DeviceEntry, check_entry

COLUMNS = ("group", "device", "location", "owner", "expected_silence_s", "tags", "credential")


def write_entries(entries: Sequence[DeviceEntry], suffix: str) -> str:
    """``.csv`` or ``.json``. Raises BadEntry for another suffix."""
    if suffix == ".json":
        return msgspec.json.format(msgspec.json.encode(entries), indent=2).decode() + "\n"
    if suffix != ".csv":
        raise BadEntry(f"{suffix or 'no suffix'}: expected a file that ends in .csv or .json")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        tags = ";".join(f"{name}={value}" for name, value in sorted(entry.tags.items()))
        silence = "" if entry.expected_silence_s is None else f"{entry.expected_silence_s:g}"
        writer.writerow(
            [entry.group, entry.device, entry.location, entry.owner, silence, tags, entry.credential]
        )
    return text.getvalue()


def read_entries(path: Path) -> tuple[DeviceEntry, ...]:
    """Raises BadEntry, which names the line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadEntry(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadEntry(
            f"{path}: byte {error.start} is not UTF-8; expected a .csv or .json file, saved as UTF-8"
        ) from error
    entries = _read_json(text, path) if path.suffix == ".json" else _read_csv(text, path)
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        if (entry.group, entry.device) in seen:
            raise BadEntry(f"{path}: {entry.group}/{entry.device} stands in it twice")
        seen.add((entry.group, entry.device))
    return tuple(entries)


def _read_json(text: str, path: Path) -> list[DeviceEntry]:
    try:
        entries = msgspec.json.decode(text.encode(), type=list[DeviceEntry])
    except msgspec.MsgspecError as error:
        raise BadEntry(f"{path}: {error}") from error
    return [check_entry(entry) for entry in entries]


def _read_csv(text: str, path: Path) -> list[DeviceEntry]:
    if path.suffix != ".csv":
        raise BadEntry(f"{path}: expected a file that ends in .csv or .json")
    rows = csv.DictReader(io.StringIO(text))
    unknown = set(rows.fieldnames or ()) - set(COLUMNS)
    if unknown or not {"group", "device"} <= set(rows.fieldnames or ()):
        raise BadEntry(f"{path}: line 1: got {rows.fieldnames}, expected columns of {', '.join(COLUMNS)}")
    entries = []
    for row in rows:
        try:
            entries.append(_entry_of(row))
        except ValueError as error:
            raise BadEntry(f"{path}: line {rows.line_num}: {error}") from error
    return entries


def _entry_of(row: dict[str, str | None]) -> DeviceEntry:
    tags = {}
    for pair in (row.get("tags") or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name:
            tags[name] = value or "yes"
    silence = row.get("expected_silence_s") or ""
    return check_entry(
        DeviceEntry(
            group=row["group"] or "",
            device=row["device"] or "",
            location=row.get("location") or "",
            owner=row.get("owner") or "",
            expected_silence_s=float(silence) if silence else None,
            tags=tags,
            credential=row.get("credential") or "",
        )
    )
