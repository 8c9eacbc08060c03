"""Where messages go: ``edgewise/v1/<group>/<device>/<channel>``."""

import re
from enum import StrEnum

import msgspec

from edgewise_messages.errors import InvalidTopic

PREFIX = "edgewise/v1"
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Channel(StrEnum):
    """The last level of a topic. Status and meta are retained; the others are not."""

    STATUS = "status"
    META = "meta"
    TELEMETRY = "telemetry"
    EVENT = "event"
    DRIFT = "drift"
    COMMAND = "command"
    RESPONSE = "response"
    STATE = "state"
    """The latest values as one flat JSON object, for Home Assistant; a fleet does not read it."""
    SNAPSHOT = "snapshot"


RETAINED = frozenset({Channel.STATUS, Channel.META})
RECORD_CHANNELS = frozenset({Channel.TELEMETRY, Channel.EVENT, Channel.DRIFT})


def check_id(value: str, what: str) -> str:
    """Return ``value`` if it can be one level of a topic, else raise InvalidTopic."""
    if not ID_PATTERN.fullmatch(value):
        raise InvalidTopic(f"{what}: got {value!r}, expected 1 to 64 of the characters A-Z a-z 0-9 _ -")
    return value


class DeviceAddress(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """One device in one group; both ids are checked on construction."""

    group: str
    device: str

    def __post_init__(self) -> None:
        check_id(self.group, "group")
        check_id(self.device, "device")

    def topic(self, channel: Channel) -> str:
        """The full topic of one of this device's channels."""
        return f"{PREFIX}/{self.group}/{self.device}/{channel.value}"


def parse_topic(topic: str) -> tuple[DeviceAddress, Channel]:
    """Split a topic into the device and the channel; raise InvalidTopic for any other topic."""
    levels = topic.split("/")
    if len(levels) != 5 or "/".join(levels[:2]) != PREFIX:
        raise InvalidTopic(f"topic: got {topic!r}, expected {PREFIX}/<group>/<device>/<channel>")
    try:
        channel = Channel(levels[4])
    except ValueError:
        raise InvalidTopic(f"topic {topic!r}: unknown channel {levels[4]!r}") from None
    return DeviceAddress(levels[2], levels[3]), channel


def subscription(channel: Channel, *, group: str = "+", device: str = "+") -> str:
    """The MQTT filter for one channel of every device (or of those of one group)."""
    for level, what in ((group, "group"), (device, "device")):
        if level != "+":
            check_id(level, what)
    return f"{PREFIX}/{group}/{device}/{channel.value}"
