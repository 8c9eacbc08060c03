"""What is known of one request for a snapshot. Data only."""

from enum import StrEnum

import msgspec

from edgewise_messages import DeviceAddress


class State(StrEnum):
    """How far a request is."""

    WAITING = "waiting"
    HERE = "here"
    FAILED = "failed"
    """Refused, never whole, or nothing that is shown; `reason` says which."""


class KeptSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, and what came of it."""

    id: str
    """Of the command."""
    group: str
    device: str
    asked_ms: int
    asked_by: str
    state: State = State.WAITING
    reason: str = ""
    ended_ms: int = 0
    snapshot: str = ""
    """The device's name for it."""
    taken_ms: int = 0
    """When the device looked at the input, by its clock."""
    rule: str = ""
    label: str = ""
    """What the device saw, as its rule's event says."""
    media: str = ""
    """image/jpeg, image/png or audio/wav: what it was decoded as, whatever the device called it."""
    shape: str = ""
    """Such as "640 x 480" or "3.2 s"."""
    sha256: str = ""
    size_bytes: int = 0

    @property
    def address(self) -> DeviceAddress:
        """Group and device."""
        return DeviceAddress(self.group, self.device)
