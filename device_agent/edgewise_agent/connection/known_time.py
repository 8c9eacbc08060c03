"""A lower bound of the time, for a board whose clock says 1970.

Time only goes forward, so now is not before this package was installed, nor before a certificate file was written,
nor before the last time this device knew. The last is kept as the modification time of one file in the state folder,
as systemd-timesyncd does with its clock file.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from edgewise_agent.clock import TimeSource
from edgewise_messages import Clock

BUILT_S = 1_735_689_600
"""2025-01-01: nothing of this was written before."""
FILE_NAME = "last-known-time"
_WRITE_EVERY_S = 3600.0


class KnownTime:
    """What is known of the time. Without a folder nothing is remembered over a restart."""

    def __init__(self, clock: TimeSource, *, folder: Path | None = None, files: Iterable[Path] = ()) -> None:
        """``files`` are others that tell by their modification times that it is later than that."""
        self._clock = clock
        self._file = folder / FILE_NAME if folder else None
        self._files = (Path(__file__), *files)

    @property
    def is_trusted(self) -> bool:
        """True when the clock was set by somebody who knows."""
        return self._clock.state() is not Clock.UNSYNCED

    def at_least_s(self) -> float:
        """Seconds since 1970 that have passed for certain; the clock's own word if that is trusted or later."""
        if self.is_trusted:
            return self._clock.now_ms() / 1000.0
        known = self._files if self._file is None else (*self._files, self._file)
        times = [_modified_s(path) for path in known]
        return max(self._clock.now_ms() / 1000.0, float(BUILT_S), *times)

    def remember(self) -> None:
        """Keep a trusted time for the next start, at most once an hour."""
        now_s = self._clock.now_ms() / 1000.0
        if self._file is None or not self.is_trusted or now_s - _modified_s(self._file) < _WRITE_EVERY_S:
            return
        with contextlib.suppress(OSError):  # a full disk costs only this
            self._file.touch()
            os.utime(self._file, (now_s, now_s))


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
