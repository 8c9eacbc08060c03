"""One device as its owner describes it, and which devices a choice means. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from edgewise_fleet.errors import BadEntry
from edgewise_fleet.steering.positions import Position, position_in
from edgewise_messages import DeviceAddress

MAX_TEXT = 200
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
FIELDS = ("location", "owner", "expected_silence_s", "tags")


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device does not say of itself. A device without an entry is watched all the same."""

    group: str
    device: str
    location: Text = ""
    owner: Text = ""
    expected_silence_s: Annotated[float, msgspec.Meta(ge=1.0, le=31_536_000.0)] | None = None
    """Silent only after so many seconds without a word: for devices that sleep. None: as the server says."""
    tags: dict[str, Text] = {}
    credential: Text = ""
    """"certificate" or "password" once enrolled, "revoked" after; written by `edgewise fleet enrol`."""

    @property
    def address(self) -> DeviceAddress:
        """Group and device as messages have them. Raises InvalidTopic."""
        return DeviceAddress(self.group, self.device)


def changed(entry: DeviceEntry, assignments: Sequence[str]) -> DeviceEntry:
    """The entry after ``field=value``, ``tag.NAME=value``; an empty value takes it out. Raises BadEntry."""
    changes: dict[str, object] = {}
    tags = dict(entry.tags)
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadEntry(f"--set {text!r}: expected {_EXPECTED}")
        if name == "tag" or name.startswith("tag."):
            # `tag=spare` is a tag without a value, `tag.site=north` one with.
            key, content = (value, "yes") if name == "tag" else (name[4:], value)
            _check_tag(key)
            tags.pop(key, None)
            if content:
                tags[key] = content
        elif name in ("location", "owner"):
            changes[name] = value
        elif name == "expected_silence_s":
            changes[name] = _seconds(value) if value else None
        else:
            raise BadEntry(f"--set {text!r}: expected {_EXPECTED}")
    return check_entry(msgspec.structs.replace(entry, **changes, tags=tags))


def check_entry(entry: DeviceEntry) -> DeviceEntry:
    """The entry itself, if it is sound. Raises BadEntry."""
    where = f"{entry.group}/{entry.device}"
    try:
        _ = entry.address
        position_in(entry.location)
        msgspec.convert(msgspec.to_builtins(entry), DeviceEntry)
    except ValueError as error:
        raise BadEntry(f"{where}: {error}") from error
    for tag in entry.tags:
        _check_tag(tag)
    return entry


def positions_of(entries: Iterable[DeviceEntry]) -> Mapping[DeviceAddress, Position]:
    """Where devices are, of those whose location has a geo: URI."""
    found = ((entry, _position_or_none(entry.location)) for entry in entries if entry.location)
    return {entry.address: position for entry, position in found if position is not None}


def _position_or_none(location: str) -> Position | None:
    try:
        return position_in(location)
    except BadEntry:  # of an entry that was not checked
        return None


def matches(entry: DeviceEntry, *, group: str | None, tags: Mapping[str, str]) -> bool:
    """Whether a choice by group and tags means this device; "" as a tag's value means any."""
    if group is not None and entry.group != group:
        return False
    return all(name in entry.tags and value in ("", entry.tags[name]) for name, value in tags.items())


def parse_tags(texts: Iterable[str]) -> dict[str, str]:
    """``name`` or ``name=value``. Raises BadEntry."""
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        _check_tag(name)
        found[name] = value
    return found


def _check_tag(name: str) -> None:
    if not name or len(name) > 64 or not name.isprintable() or set(name) & set("=,; "):
        raise BadEntry(f"tag {name!r}: expected 1 to 64 printable characters without = , ; and blanks")


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise BadEntry(f"expected_silence_s={value}: expected seconds, such as 7200") from error


_EXPECTED = "location=..., owner=..., expected_silence_s=SECONDS, tag=NAME or tag.NAME=VALUE"
