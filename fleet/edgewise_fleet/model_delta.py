"""What of a new model file a device with the old one lacks: the only place in the fleet that knows bsdiff4."""

WORTH = 0.5
"""A delta of more than this share of the file is not published: docs/decisions/0012 has what was measured."""


def make_delta(old: bytes, new: bytes) -> bytes | None:
    """The delta, where it is worth having. Takes about 20 times the files' size in memory."""
    import bsdiff4

    delta = bytes(bsdiff4.diff(old, new))
    return delta if len(delta) <= WORTH * len(new) else None
