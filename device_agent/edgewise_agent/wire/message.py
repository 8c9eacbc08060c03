"""What goes over the wire, before anything is known about MQTT clients."""

from collections.abc import Callable
from dataclasses import dataclass, field

AT_MOST_ONCE = 0
AT_LEAST_ONCE = 1


@dataclass(frozen=True)
class Message:
    """One publish."""

    topic: str
    payload: bytes
    retain: bool = False
    qos: int = AT_LEAST_ONCE
    on_delivered: Callable[[], None] | None = field(default=None, compare=False)
    """Called once the broker has acknowledged it (QoS 1) or it has been handed to the network (QoS 0)."""
