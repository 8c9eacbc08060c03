"""The registry as the command line shows and changes it, beside what devices reported."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgewise_fleet import wording
from edgewise_fleet.commanding import parse_address
from edgewise_fleet.errors import BadEntry
from edgewise_fleet.rollouts.observation import running_sha256, update_events
from edgewise_fleet.steering.base import Registry
from edgewise_fleet.steering.choose import open_steering
from edgewise_fleet.steering.entries import DeviceEntry, changed, matches, parse_tags
from edgewise_fleet.steering.tables import read_entries, write_entries
from edgewise_fleet.store import open_store
from edgewise_messages import DeviceAddress

EVENTS = 100


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A device as it is listed."""

    entry: DeviceEntry
    is_registered: bool
    last_seen_ms: int = 0
    model: str = ""
    sha256: str = ""


def list_devices(store: str, *, group: str | None, tags: Sequence[str], as_json: bool) -> str:
    """A line per device, registered or heard. Raises StoreUnusable, BadEntry."""
    chosen = parse_tags(tags)
    found = [one for one in _all(store) if matches(one.entry, group=group, tags=chosen)]
    if as_json:
        return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
    if not found:
        return "no device"
    rows = [("device", "model", "location", "owner", "tags", "credential"), *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def change_device(store: str, name: str, assignments: Sequence[str], *, remove: bool, as_json: bool) -> str:
    """Show one entry, after changing it. Raises BadEntry, BadCommand, StoreUnusable."""
    address = parse_address(name)
    # Only a change makes the store: a look at a misspelt one must not leave an empty file.
    opened = open_steering(store, create=bool(assignments))
    try:
        if remove:
            if not opened.remove(address):
                raise BadEntry(f"{name}: not in the registry")
            return f"{address.group}/{address.device}: taken out of the registry"
        entry = _entry(opened, address)
        if assignments:
            entry = changed(entry or DeviceEntry(group=address.group, device=address.device), assignments)
            opened.put([entry])
    finally:
        opened.close()
    if entry is None:
        raise BadEntry(
            f"{address.group}/{address.device}: not in the registry; --set location=... or tag=... puts it in"
        )
    return msgspec.json.encode(entry).decode() if as_json else _say(entry)


def import_entries(store: str, file: Path) -> str:
    """All of the file or nothing; entries that the file does not name stay. Raises BadEntry, StoreUnusable."""
    entries = read_entries(file)
    opened = open_steering(store)
    try:
        opened.put(entries)
    finally:
        opened.close()
    return f"{len(entries)} devices taken from {file}"


def export_entries(store: str, file: Path, *, group: str | None, tags: Sequence[str]) -> str:
    """Written beside and renamed. Raises BadEntry, StoreUnusable."""
    chosen = parse_tags(tags)
    found = [one.entry for one in _all(store) if matches(one.entry, group=group, tags=chosen)]
    text = write_entries(found, file.suffix)
    beside = file.with_name(f".{file.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise BadEntry(f"{file}: {error.strerror or error}") from error
    return f"{len(found)} devices written to {file}"


def _all(store: str) -> list[Listed]:
    """The registry's, and those that reported without being in it."""
    steering = open_steering(store, create=False)
    records = open_store(store, read_only=True)
    try:
        entries = {entry.address: entry for entry in steering.entries()}
        rows = {row.address: row for row in records.devices()}
        running = {
            one: running_sha256(row, update_events(records.events(one, predictions=False, limit=EVENTS)), "")
            for one, row in rows.items()
        }
    finally:
        steering.close()
        records.close()
    listed = []
    for address in sorted(entries.keys() | rows.keys(), key=lambda one: (one.group, one.device)):
        row = rows.get(address)
        model = row.meta.model if row and row.meta else None
        listed.append(
            Listed(
                entry=entries.get(address) or DeviceEntry(group=address.group, device=address.device),
                is_registered=address in entries,
                last_seen_ms=row.last_seen_ms if row else 0,
                model=model.name if model else "",
                sha256=running.get(address, ""),
            )
        )
    return listed


def _entry(store: Registry, address: DeviceAddress) -> DeviceEntry | None:
    return next((entry for entry in store.entries() if entry.address == address), None)


def _row(one: Listed) -> tuple[str, ...]:
    entry = one.entry
    model = f"{one.model} {one.sha256[:8]}".strip() or wording.NOT_TOLD
    return (
        f"{entry.group}/{entry.device}",
        model,
        entry.location,
        entry.owner,
        _tags(entry),
        entry.credential,
    )


def _tags(entry: DeviceEntry) -> str:
    return " ".join(
        name if value == "yes" else f"{name}={value}" for name, value in sorted(entry.tags.items())
    )


def _say(entry: DeviceEntry) -> str:
    silence = "" if entry.expected_silence_s is None else f"{entry.expected_silence_s:g} s"
    facts = {
        "location": entry.location,
        "owner": entry.owner,
        "tags": _tags(entry),
        "expected silence": silence,
        "credential": entry.credential,
    }
    lines = [f"  {name}: {value}" for name, value in facts.items() if value]
    return "\n".join([f"{entry.group}/{entry.device}", *lines])
