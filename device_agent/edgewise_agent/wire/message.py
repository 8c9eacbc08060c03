"""What goes over the wire, before anything is known about MQTT clients."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """One publish."""

    topic: str
    payload: bytes
    retain: bool = False
