"""The seam between the courier and a wire profile: what a device says, when, and how it hears.

A Profile makes one Session per connection. All calls come from the courier's thread.
"""

from dataclasses import dataclass
from typing import Protocol

from edgewise_agent.outbox.batches import Batch
from edgewise_agent.wire.message import Message


@dataclass(frozen=True)
class Opening:
    """What must be known before the connection is made."""

    will: Message
    subscriptions: tuple[str, ...]
    """Topic filters, subscribed to at QoS 1 before anything is published."""


@dataclass(frozen=True)
class Turn:
    """What a session wants just now."""

    messages: tuple[Message, ...] = ()
    """To be sent before any record."""
    takes_records: bool = True
    leaves_because: str = ""
    """If not empty: say goodbye, disconnect, and connect again later; nothing counts as delivered."""


class Session(Protocol):
    """One connection's worth of a profile."""

    @property
    def opening(self) -> Opening:
        """Asked for once, before the connection is made."""

    def due(self) -> Turn:
        """Asked for again and again while connected."""

    def records(self, batch: Batch) -> tuple[Message, ...]:
        """The publishes that carry these records; the batch is sent when all of them are."""

    def heard(self, message: Message) -> None:
        """Something arrived on one of the subscriptions."""

    def farewell(self, reason: str, *, returns: bool) -> tuple[Message, ...]:
        """What to say last before a deliberate disconnect; with ``returns`` the device connects again at once."""


class Profile(Protocol):
    """One way to speak of this device over MQTT."""

    @property
    def unsure_for_s(self) -> float:
        """How long after sending a record may still turn out lost, with the connection standing.

        0: an acknowledgement is the broker's word and removes it from disk. Above: it stays on disk that long,
        and is sent again if the connection ends before.
        """

    def begin(self) -> Session:
        """For the next connection."""
