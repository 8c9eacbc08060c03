"""What a device tells: records kept until the broker has them, and two retained notices.

A record is identified by (boot, seq): the host keeps the first and drops repeats. Unknown fields are
ignored, so that an old host hears a new device; wrong types and values are refused.
"""

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

SCHEMA_VERSION = 1

Text = Annotated[str, msgspec.Meta(max_length=4096)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
BootId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Value: TypeAlias = float | Int64 | bool | Text | None
"""What every store and every wire profile can hold; the codec refuses floats that are not finite."""
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Version = Annotated[int, msgspec.Meta(ge=1)]


class Clock(StrEnum):
    """Where the wall clock of a record came from."""

    UNSYNCED = "unsynced"
    NTP = "ntp"
    RTC = "rtc"


class Severity(StrEnum):
    """How much an event matters."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What every record carries: when, by which clock, and which record of which boot this is."""

    ts_ms: Count
    """Wall clock, milliseconds since 1970 UTC."""
    mono_ns: Count
    """Monotonic clock of this boot, nanoseconds; with it a record is re-stamped once the clock is set."""
    boot: BootId
    seq: Count
    clock: Clock = Clock.UNSYNCED
    restamped: bool = False
    """True when ``ts_ms`` was worked out later from ``mono_ns``: the clock was not yet set at the time."""


class Telemetry(Record, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="telemetry"):
    """Metrics by name; `edgewise_messages.metrics` lists the standard names with their units."""

    metrics: dict[Name, Value]


class Event(Record, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="event"):
    """Something that happened once: a prediction a rule asked for, a broken input, a restart."""

    name: Name
    severity: Severity = Severity.INFO
    message: Text = ""
    data: dict[Name, Value] = {}


class Drift(Record, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="drift"):
    """How far what the model sees is from the baseline in its card."""

    model: Text
    scores: dict[Name, float]
    window: Count
    """How many inputs the scores were computed on."""


AnyRecord: TypeAlias = Telemetry | Event | Drift


class DeviceState(StrEnum):
    """What a device's retained status says: stopped is deliberate, offline is the Last Will."""

    ONLINE = "online"
    STOPPED = "stopped"
    OFFLINE = "offline"


class Status(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Retained on the status channel."""

    state: DeviceState
    ts_ms: Count
    boot: BootId
    reason: Text = ""
    version: Version = SCHEMA_VERSION


class Promise(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model's card says that it does, to be held against what is observed."""

    accuracy: Share | None = None
    """Of its first answers, where labels were given at conversion."""
    agreement: Share | None = None
    """Of its first answers with those of the model that it was converted from."""
    confidence: Share | None = None
    """The mean of its first answers' on the samples at conversion, by tenths."""
    p95_ms: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    """From the input to the answer, on this device's kind of board."""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which model a device runs."""

    name: Text
    sha256: Text = ""
    task: Text = ""
    precision: Text = ""
    target: Text = ""
    backend: Text = ""
    promise: Promise | None = None


class Meta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Retained on the meta channel: what changes rarely."""

    ts_ms: Count
    boot: BootId
    board: Text = ""
    agent_version: Text = ""
    settings_sha256: Text = ""
    raw_data_leaves_device: bool = False
    model: ModelInfo | None = None
    models: dict[Name, ModelInfo] = {}
    """By pipeline, where a device has several; ``model`` is the main one of them."""
    drift: Text = ""
    """Whether drift from the card's baseline is watched, "on: ..." or "off: ..." with the reason."""
    power: Text = ""
    """Where watts come from: "measured: ...", "estimated: ..." or "unknown: ..." with the reason."""
    versions: dict[Name, Text] = {}
    version: Version = SCHEMA_VERSION
