"""Small zip archives in memory: the same input gives the same bytes, and no archive unpacks into a flood."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import BinaryIO

from edgewise.errors import ModelFileError

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold (APPNOTE.TXT 4.4.6); a real one would make files differ."""
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    struct.error,
)
"""What zipfile raises for damaged, encrypted, or exotic archives."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What is read: others can make their decoder take gigabytes by a number in a header."""
_DIRECTORY_LIMIT_BYTES = 1 << 20
"""More than 10,000 entries; each becomes an object of ten times its size."""
_END, _END_BYTES, _LOCATOR_BYTES, _COMMENT_LIMIT_BYTES = b"PK\5\6", 22, 20, 1 << 16
"""APPNOTE.TXT 4.3.16: the end of central directory record; 4.3.15: the zip64 locator before it."""


class _Behind(io.BytesIO):
    """A stream that believes ``offset`` bytes to stand before it."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self._offset = offset

    def tell(self) -> int:
        return super().tell() + self._offset

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        return super().seek(position - (self._offset if whence == io.SEEK_SET else 0), whence) + self._offset


def pack(files: Mapping[str, bytes], *, behind: int = 0, compress: bool = False) -> bytes:
    """A zip with these files, to stand ``behind`` that many bytes, from whose start its offsets count."""
    stream = _Behind(behind)
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = method
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return stream.getvalue()


def unpack(stream: BinaryIO, names: set[str] | None, *, limit_bytes: int, what: str) -> dict[str, bytes]:
    """The files of these names (None: all of them) of the zip that ends ``stream``.

    A stream without a zip has none. Raises ModelFileError for a damaged archive, and for one whose files say
    they are larger than ``limit_bytes`` together.
    """
    try:
        if not zipfile.is_zipfile(stream):
            return {}
        _check_directory(stream, what)
        with zipfile.ZipFile(stream) as archive:
            wanted = [entry for entry in archive.infolist() if names is None or entry.filename in names]
            total = sum(entry.file_size for entry in wanted)
            if total > limit_bytes:
                raise ModelFileError(
                    f"{what}: its archive unpacks to {total} bytes, expected at most {limit_bytes}"
                )
            return {entry.filename: _read(archive, entry, what) for entry in wanted}
    except ModelFileError:
        raise
    except _BROKEN as error:
        raise ModelFileError(f"{what}: its archive is damaged: {error}") from error


def _check_directory(stream: BinaryIO, what: str) -> None:
    """Raise ModelFileError for a list of files so long that reading it would take the memory."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _COMMENT_LIMIT_BYTES - _END_BYTES - _LOCATOR_BYTES))
    tail = stream.read()
    at = tail.rfind(_END)
    listed = struct.unpack_from("<I", tail, at + 12)[0]
    if tail[max(0, at - _LOCATOR_BYTES) : at].startswith(b"PK\6\7") or listed > _DIRECTORY_LIMIT_BYTES:
        raise ModelFileError(
            f"{what}: its archive lists more files than fit {_DIRECTORY_LIMIT_BYTES} bytes, expected a handful"
        )


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, what: str) -> bytes:
    """One file, its CRC checked. It is asked for by its size: without one, zipfile unpacks all that there is."""
    if entry.compress_type not in _METHODS:
        raise ModelFileError(
            f"{what}: '{entry.filename}' is compressed by method {entry.compress_type}, "
            "expected stored or deflated"
        )
    with archive.open(entry) as stream:
        content = stream.read(entry.file_size)
    if len(content) != entry.file_size:
        raise ModelFileError(
            f"{what}: '{entry.filename}' has {len(content)} bytes, expected the {entry.file_size} it states"
        )
    return content


def start_of_archive(data: bytes) -> int:
    """Where the zip at the end of ``data`` begins; the length of ``data`` when there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return min((entry.header_offset for entry in archive.infolist()), default=len(data))
    except _BROKEN:
        return len(data)
