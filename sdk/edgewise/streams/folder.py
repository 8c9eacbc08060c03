"""The pictures of a folder, and those that are still to come."""

import os
import stat
import time
from collections import deque
from pathlib import Path

from edgewise.errors import InvalidInput, SourceError
from edgewise.streams.frame import Frame
from edgewise.streams.picture_end import is_whole
from edgewise.streams.source import SourceBase

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

_Look = tuple[int, int, int]
"""Inode, size and time of change: what tells that a file is another one, or has grown."""


class FolderSource(SourceBase[Frame]):
    """The pictures of a folder, sorted by name; hidden files and folders inside are left out.

    With ``watch`` it goes on with pictures that come later, for ever: each once it is completely written, that
    is when it is unchanged between two looks ``poll_s`` apart and ends as its format ends (JPEG, PNG, GIF), or
    has been unchanged for ``settle_s``. A picture that is written anew is given again. Frames hold paths.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        watch: bool = False,
        poll_s: float = 0.2,
        settle_s: float = 3.0,
    ) -> None:
        """Looks at nothing yet. Raises InvalidInput for times that are not positive."""
        if poll_s <= 0 or settle_s <= 0:
            raise InvalidInput(f"poll_s, settle_s: got {poll_s}, {settle_s}, expected more than 0 seconds")
        super().__init__(os.fspath(folder))
        self._folder = Path(folder)
        self._watch, self._poll_s, self._settle_s = watch, poll_s, settle_s
        self._queue: deque[Path] = deque()
        self._given: dict[Path, _Look] = {}
        self._pending: dict[Path, tuple[_Look, float]] = {}
        """What is still being written, as last seen, and since when."""

    def _start(self) -> None:
        self._queue.clear()
        self._given.clear()
        self._pending.clear()
        found = self._pictures()
        if not self._watch:
            self._queue.extend(found)

    def _next(self, index: int) -> Frame | None:
        while not self._queue:
            if not self._watch:
                return None
            self._queue.extend(self._newly_whole(time.monotonic()))
            if not self._queue and self._is_closed_within(self._poll_s):
                return None
        return Frame(self._queue.popleft(), index, time.monotonic(), self.name)

    def _newly_whole(self, now_s: float) -> list[Path]:
        """The pictures that are completely written and not given yet."""
        looks = self._pictures()
        self._given = {path: look for path, look in self._given.items() if path in looks}
        pending: dict[Path, tuple[_Look, float]] = {}
        whole = []
        for path, look in looks.items():
            if self._given.get(path) == look:
                continue
            before, since_s = self._pending.get(path, (None, now_s))
            if before != look:
                pending[path] = look, now_s
            elif now_s - since_s >= self._settle_s or is_whole(path):
                self._given[path] = look
                whole.append(path)
            else:
                pending[path] = look, since_s
        self._pending = pending
        return whole

    def _pictures(self) -> dict[Path, _Look]:
        """By name. Raises SourceError for a folder that cannot be read."""
        looks: dict[Path, _Look] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = self._folder / entry.name
                    if path.suffix.lower() in SUFFIXES and not entry.name.startswith("."):
                        look = _look_at(path)
                        if look:
                            looks[path] = look
        except OSError as error:
            reason = error.strerror or str(error)
            raise SourceError(f"{self.name}: {reason}; expected a folder of pictures") from error
        return looks


def _look_at(path: Path) -> _Look | None:
    """None for what is no file, or has gone since the folder was listed."""
    try:
        status = path.stat()
    except OSError:
        return None
    is_file = stat.S_ISREG(status.st_mode)
    return (status.st_ino, status.st_size, status.st_mtime_ns) if is_file else None
