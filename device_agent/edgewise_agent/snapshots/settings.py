"""What a user says about snapshots."""

from typing import Annotated

from msgspec import Meta, Struct


class SnapshotSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[snapshots]: the inputs that rules keep on the device."""

    max_mb: Annotated[int, Meta(ge=1, le=1_048_576)] = 256
    """The oldest go when all together are larger."""
    max_count: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """The oldest go when there are more."""
    max_age_days: Annotated[float, Meta(gt=0.0, le=3650.0)] = 30.0
    """Older ones go; those from before the clock was set only for the other limits."""
    min_free_mb: Annotated[int, Meta(ge=0, le=1_048_576)] = 200
    """None is kept when the disk would have less room left: the outbox comes first."""
    jpeg_quality: Annotated[int, Meta(ge=30, le=95)] = 85
    """Of pictures that come as arrays; files are kept as they are."""
