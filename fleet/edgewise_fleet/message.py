"""A message as it came from a broker."""

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """One publish; `connection` tells the connection whose acknowledgement it waits for."""

    topic: str
    payload: bytes
    retained: bool
    received_ms: int
    packet_id: int
    qos: int
    connection: int
    cut_bytes: int = 0
    """How much of a very large payload was left out."""
