"""[logs]: the agent's own log."""

from typing import Annotated

from msgspec import Meta, Struct


class LogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[logs]: a copy of what is said on stderr, in the state folder, bounded."""

    to_file: bool = True
    """False writes nothing; `edgewise agent logs` then asks journald."""
    max_mb: Annotated[float, Meta(ge=0.1, le=1024.0)] = 4.0
    """All its files together; the oldest quarter goes first."""
