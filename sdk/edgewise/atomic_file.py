"""Write a file so that there is the old one or the new one, and never half of one."""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def write_bytes(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write beside ``path``, flush to the disk, rename. Raises OSError and then leaves nothing behind."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with beside.open("xb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A rename survives a pulled plug once its folder is on the disk (rename(2), fsync(2))."""
    with suppress(OSError):  # some file systems cannot; the file itself is whole either way
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
