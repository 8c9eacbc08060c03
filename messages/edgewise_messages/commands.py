"""What a fleet asks of a device, and what the device answers."""

from enum import StrEnum

import msgspec

from edgewise_messages.records import SCHEMA_VERSION, BootId, Count, Name, Text, Value, Version


class CommandName(StrEnum):
    """What can be asked for."""

    REPORT_NOW = "report-now"
    STOP = "stop"
    SNAPSHOT = "snapshot"
    ERASE = "erase"


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. A device that sees the same id again answers again and does nothing."""

    id: BootId
    name: Name
    issued_ms: Count
    expires_ms: Count = 0
    """Wall clock after which the device must not act; 0 never expires."""
    arguments: dict[Name, Value] = {}
    version: Version = SCHEMA_VERSION


class Outcome(StrEnum):
    """How a command ended."""

    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"


class Response(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one command, by its id."""

    id: BootId
    outcome: Outcome
    ts_ms: Count
    message: Text = ""
    data: dict[Name, Value] = {}
    version: Version = SCHEMA_VERSION
