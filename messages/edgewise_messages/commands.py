"""What a fleet asks of a device, and what the device answers.

A command that changes anything carries an ed25519 signature over `signed_bytes`: who may sign is the device's setting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec

from edgewise_messages.errors import MalformedMessage
from edgewise_messages.records import SCHEMA_VERSION, BootId, Count, Name, Text, Value, Version
from edgewise_messages.topics import DeviceAddress

SIGNATURE_PURPOSE = "edgewise-command-1"
"""Part of the signed bytes, so that a signature made for something else is none of a command."""


class CommandName(StrEnum):
    """What can be asked for."""

    REPORT_NOW = "report-now"
    STOP = "stop"
    RESTART = "restart"
    SET_MODEL = "set-model"
    SET_SETTINGS = "set-settings"
    SNAPSHOT = "snapshot"
    LOG_LEVEL = "log-level"
    ERASE = "erase"
    ROLLBACK = "rollback"


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. A device that sees the same id again answers again and does nothing."""

    id: BootId
    name: Name
    issued_ms: Count
    expires_ms: Count = 0
    """Wall clock after which the device must not act; 0 never expires, which a signed command may not."""
    arguments: dict[Name, Value] = {}
    signature: Text = ""
    """Ed25519 over `signed_bytes`, 128 hexadecimal digits."""
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


@dataclass(frozen=True)
class Argument:
    """One argument of a command."""

    kind: type | tuple[type, ...]
    required: bool = False
    meaning: str = ""


@dataclass(frozen=True)
class CommandKind:
    """What a command does and takes."""

    changes: bool
    """Whether it changes anything on the device, or lets raw data leave it: then it must be signed."""
    meaning: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    open_arguments: bool = False
    """Whether arguments with a dot in their name, ``section.key``, are settings."""


_PIPELINE = Argument(str, meaning="which pipeline; not needed where there is one")

COMMANDS: Mapping[str, CommandKind] = MappingProxyType(
    {
        CommandName.REPORT_NOW: CommandKind(False, "send a telemetry record now"),
        CommandName.STOP: CommandKind(True, "end the agent"),
        CommandName.RESTART: CommandKind(True, "end the agent and start it again"),
        CommandName.SET_MODEL: CommandKind(
            True,
            "fetch, try and run this model of the update repository",
            {
                "target": Argument(
                    str,
                    required=True,
                    meaning="its name in the repository; empty to follow the settings again",
                ),
                "sha256": Argument(str, meaning="the digest it must have"),
                "pipeline": _PIPELINE,
                "again": Argument(bool, meaning="try it although it was rejected before"),
                "older": Argument(bool, meaning="take it although its version is lower"),
            },
        ),
        CommandName.ROLLBACK: CommandKind(
            True,
            "run the model before this one again",
            {
                "pipeline": _PIPELINE,
                "sha256": Argument(str, meaning="only if this model runs: else nothing is taken back"),
            },
        ),
        CommandName.SET_SETTINGS: CommandKind(
            True,
            "change the settings file and restart; undone when the broker is not reached afterwards",
            {
                "toml": Argument(str, meaning="a whole settings file"),
                "connect_within_s": Argument((int, float), meaning="seconds to reach the broker in"),
            },
            open_arguments=True,
        ),
        CommandName.SNAPSHOT: CommandKind(
            True,
            "send an input that a rule has kept, if the privacy settings let it; the latest unless said",
            {
                "id": Argument(str, meaning="the snapshot, as the rule's event names it"),
                "rule": Argument(str, meaning="the latest one of this rule"),
            },
        ),
        CommandName.LOG_LEVEL: CommandKind(
            True,
            "log more or less until the next start",
            {"level": Argument(str, required=True, meaning="debug, info, warning or error")},
        ),
        CommandName.ERASE: CommandKind(
            True,
            "delete every snapshot that the device has kept; the record of what was sent stays",
        ),
    }
)


def signed_bytes(command: Command, address: DeviceAddress) -> bytes:
    """What a signature covers: the command, whom it is for, and that it is a command; keys sorted, no spaces.

    Raises MalformedMessage when it cannot be written.
    """
    covered = {
        "purpose": SIGNATURE_PURPOSE,
        "group": str(address.group),
        "device": str(address.device),
        "id": command.id,
        "name": command.name,
        "issued_ms": command.issued_ms,
        "expires_ms": command.expires_ms,
        "arguments": command.arguments,
        "version": command.version,
    }
    try:
        return msgspec.json.encode(covered, order="sorted")
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise MalformedMessage(f"command: {error}") from error


def check_arguments(command: Command) -> str:
    """What is wrong with a known command's arguments; empty when nothing is."""
    kind = COMMANDS[command.name]
    for name, value in command.arguments.items():
        if kind.open_arguments and "." in name:
            continue
        argument = kind.arguments.get(name)
        if argument is None:
            return f"argument {name!r}: unknown to {command.name}{_nearest(name, kind)}"
        if not _is_of(value, argument.kind):
            return f"argument {name!r}: got {value!r:.80}, expected {_noun(argument.kind)}"
    missing = [name for name, argument in kind.arguments.items() if argument.required]
    missing = [name for name in missing if name not in command.arguments]
    return f"argument {missing[0]!r} is missing: {kind.arguments[missing[0]].meaning}" if missing else ""


def _is_of(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _noun(kind: type | tuple[type, ...]) -> str:
    nouns: dict[Any, str] = {str: "a text", bool: "true or false"}
    return nouns.get(kind, "a number")


def _nearest(name: str, kind: CommandKind) -> str:
    import difflib  # only for whoever mistyped; a device that runs for years needs none of it

    known = list(kind.arguments)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    takes = [*known, *(["section.key"] if kind.open_arguments else [])]
    return f"; it takes {', '.join(takes) or 'none'}"
