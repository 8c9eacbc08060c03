"""[protection]: when a model counts as hanging or crashing, and how often it may."""

from typing import Annotated

from msgspec import Meta, Struct


class ProtectionSettings(Struct, frozen=True, kw_only=True):
    """[protection]: from a model that hangs or crashes back to one that works."""

    hang_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 120.0
    """One inference that takes longer hangs, and the agent starts itself again; 0 leaves that to systemd."""
    failures: Annotated[int, Meta(ge=0, le=100)] = 3
    """So many hangs and crashes in a row, and the model before runs, or none; 0 never."""
    good_run_s: Annotated[float, Meta(ge=1.0, le=604_800.0)] = 3600.0
    """A run as long as this ends the row."""
