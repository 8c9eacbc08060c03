"""How many bytes SQLite wrote, read from its write-ahead log.

File format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log. A frame whose salts are the header's was
written since the log was last begun anew. Folding the log writes each page in it once into the main file.
"""

import os
import struct
from pathlib import Path

_HEADER_BYTES = 32
_SALTS_AT = 16
_FRAME_HEADER_BYTES = 24


class LogMeter:
    """Counts what was appended to one log. Opening the log beside SQLite is safe: its locks are on the main file."""

    def __init__(self, log: Path, *, page_bytes: int) -> None:
        self._log = log
        self._page_bytes = page_bytes
        self._frame_bytes = _FRAME_HEADER_BYTES + page_bytes
        self._salts = b""
        self._frames = 0
        self._pages: set[int] = set()
        self._descriptor = -1
        self.written_bytes = 0

    def look(self) -> int:
        """Count what was written since the last look; return the sum of all looks, in bytes."""
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
            self._read_on()
        except OSError:  # there is no log yet; the next look tries again
            pass
        return self.written_bytes

    def close(self) -> None:
        """Let go of the log."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read_on(self) -> None:
        salts = os.pread(self._descriptor, 8, _SALTS_AT)
        if salts != self._salts:
            self.written_bytes += len(self._pages) * self._page_bytes + _HEADER_BYTES
            self._salts, self._frames = salts, 0
            self._pages.clear()
        while len(head := self._frame_header()) == _FRAME_HEADER_BYTES and head[8:16] == salts:
            self._pages.add(struct.unpack_from(">I", head)[0])
            self._frames += 1
            self.written_bytes += self._frame_bytes

    def _frame_header(self) -> bytes:
        place = _HEADER_BYTES + self._frames * self._frame_bytes
        return os.pread(self._descriptor, _FRAME_HEADER_BYTES, place)
