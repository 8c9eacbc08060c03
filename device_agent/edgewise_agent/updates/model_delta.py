"""A new model file from the old one and a delta: the only place in the agent that knows bsdiff4.

bsdiff4 is not there for every processor; without it whole files are fetched.
"""

import struct

from edgewise_agent.errors import DeltaUnusable

MAGIC = b"BSDIFF40"
HEADER = struct.Struct("<8sqqq")
"""Magic, lengths of the control and difference blocks, size of the new file (bsdiff 4 format)."""


def is_possible() -> bool:
    """Whether deltas can be applied here."""
    try:
        import bsdiff4  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


def apply_delta(old: bytes, delta: bytes, *, size_bytes: int) -> bytes:
    """The new file; its size is checked before anything is made of that size. Raises DeltaUnusable."""
    import bsdiff4

    if len(delta) < HEADER.size:
        raise DeltaUnusable(f"a delta of {len(delta)} bytes")
    magic, *_, new_bytes = HEADER.unpack_from(delta)
    if magic != MAGIC or new_bytes != size_bytes:
        raise DeltaUnusable(f"a delta to {new_bytes} bytes, expected {size_bytes}")
    try:
        return bytes(bsdiff4.patch(old, delta))
    except (ValueError, OSError, EOFError, MemoryError, SystemError) as error:
        raise DeltaUnusable(f"a delta that cannot be applied: {error!r}") from error
