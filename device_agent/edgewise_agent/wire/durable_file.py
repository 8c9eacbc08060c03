"""Small state files that are whole or absent."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Whole or not at all, also when the plug is pulled. Raises OSError."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
