"""Whether a picture file ends as its format ends."""

import os
from pathlib import Path

_TAIL_BYTES = 64
"""Some cameras put a few bytes of padding behind the end mark."""
_ENDS = {
    b"\xff\xd8": b"\xff\xd9",  # JPEG, SOI and EOI: ITU-T T.81, B.1.1.3; compressed data never hold FF D9
    b"\x89PNG": b"IEND\xaeB`\x82",  # PNG, the IEND chunk and its CRC: W3C PNG 11.2.5
    b"GIF8": b"\x3b",  # GIF trailer: GIF89a specification, section 27
}


def is_whole(path: Path) -> bool:
    """True when the end mark of its format is there; False for other formats, and what cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
    except OSError:
        return False
    if head.startswith(b"GIF8"):
        return tail.endswith(_ENDS[b"GIF8"])
    return any(head.startswith(start) and end in tail for start, end in _ENDS.items())
