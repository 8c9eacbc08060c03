"""Small zip archives in memory: the same input gives the same bytes, and no archive unpacks into a flood."""

import io
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
)
"""What zipfile raises for damaged, encrypted, or exotic archives."""


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
        with zipfile.ZipFile(stream) as archive:
            wanted = [entry for entry in archive.infolist() if names is None or entry.filename in names]
            total = sum(entry.file_size for entry in wanted)
            if total > limit_bytes:
                raise ModelFileError(
                    f"{what}: its archive unpacks to {total} bytes, expected at most {limit_bytes}"
                )
            # zipfile reads no more than the size an entry states, and checks its CRC.
            return {entry.filename: archive.read(entry) for entry in wanted}
    except ModelFileError:
        raise
    except _BROKEN as error:
        raise ModelFileError(f"{what}: its archive is damaged: {error}") from error


def start_of_archive(data: bytes) -> int:
    """Where the zip at the end of ``data`` begins; the length of ``data`` when there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return min((entry.header_offset for entry in archive.infolist()), default=len(data))
    except _BROKEN:
        return len(data)
