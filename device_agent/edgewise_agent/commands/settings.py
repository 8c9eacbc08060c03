"""[commands]: who may command the device, and what may be changed from afar."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct


class CommandSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[commands]: whom it obeys."""

    keys: tuple[Path, ...] = ()
    """Public key files (PEM, ed25519); a command that changes anything must be signed by one of them."""
    max_age_s: Annotated[float, Meta(ge=1.0, le=604_800.0)] = 86_400.0
    """A signed command may be valid for this long at most, from its issue to its expiry."""
    remote_settings: tuple[str, ...] = ()
    """Protected settings that set-settings may change all the same, such as ``privacy.*``; never ``commands.*``."""
    connect_within_s: Annotated[float, Meta(ge=1.0, le=86_400.0)] = 120.0
    """New settings are undone when the broker was not reached in this time."""
