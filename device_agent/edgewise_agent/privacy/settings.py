"""What a user says about what may leave the device."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

Label = Annotated[str, Meta(min_length=1, max_length=64)]
Url = Annotated[str, Meta(min_length=1, max_length=512)]


class PrivacySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[privacy]: what may leave the device, and where to."""

    raw_leaves: bool = False
    """Whether inputs (pictures, sound, series, texts) may leave at all."""
    allowed_brokers: Annotated[tuple[Url, ...], Meta(max_length=64)] = ()
    """The urls of brokers and edge servers that inputs may go to."""
    allowed_regions: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()
    """The regions that inputs, and if any is named records too, may go to."""
    regions: Annotated[dict[Url, Label], Meta(max_length=64)] = {}
    """In which region a broker or an edge server is, by its url."""
    redact: Annotated[tuple[Literal["faces", "audio"], ...], Meta(max_length=2)] = ("faces", "audio")
    """What is taken out of an input before it leaves: faces are blurred, sound is not sent."""
    face_model: Path | None = None
    """A face detector; without one no picture leaves while faces are to be blurred."""
    names_leave: bool = True
    """Whether the names of input files may stand in events."""
    audit_mb: Annotated[int, Meta(ge=1, le=1024)] = 16
    """Room for the audit log; its oldest part goes when it is full."""
