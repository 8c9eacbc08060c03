"""Picture files as a source: folders and single files, in the order of their names, over and over if wished."""

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from edgewise.errors import SourceError
from edgewise.streams import Frame
from edgewise.streams.folder import SUFFIXES
from edgewise.streams.source import SourceBase

LOOK_AGAIN_S = 5.0
"""A source that found no picture looks again so much later."""


class PictureFiles(SourceBase[Frame]):
    """Every picture once per pass; with ``loop`` pass after pass, each with a fresh look at the folders.

    Frames hold paths. A looping source that finds nothing waits for pictures to come.
    """

    def __init__(
        self, paths: Sequence[Path], *, loop: bool, recursive: bool, look_again_s: float = LOOK_AGAIN_S
    ) -> None:
        super().__init__(", ".join(path.name for path in paths))
        self._paths = tuple(paths)
        self._loop, self._recursive, self._look_again_s = loop, recursive, look_again_s
        self._queue: deque[Path] = deque()
        self._looked = False

    def _start(self) -> None:
        self._queue.clear()
        self._looked = False

    def _next(self, index: int) -> Frame | None:
        while True:
            if not self._queue and not self._fill():
                return None
            path = self._queue.popleft()
            if path in self._paths or path.exists():
                return Frame(path, index, time.monotonic(), self.name)

    def _fill(self) -> bool:
        """Look at the folders, waiting if need be; False at the end."""
        while not self._closing.is_set() and (self._loop or not self._looked):
            self._queue.extend(find_images(self._paths, recursive=self._recursive))
            self._looked = True
            if self._queue:
                return True
            if not self._loop or self._is_closed_within(self._look_again_s):
                return False
        return False


def find_images(paths: Sequence[Path], *, recursive: bool) -> list[Path]:
    """The images in ``paths``: a file as it is, a folder's images sorted by path, hidden ones left out.

    Raises SourceError for a path that does not exist or a folder that cannot be read.
    """
    found: list[Path] = []
    for path in paths:
        try:
            found += _images_in(path, recursive=recursive) if path.is_dir() else [_existing(path)]
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror or error}") from error
    return found


def _images_in(folder: Path, *, recursive: bool) -> list[Path]:
    entries = sorted(folder.iterdir())
    files = [
        entry
        for entry in entries
        if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".") and entry.is_file()
    ]
    if recursive:
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                files += _images_in(entry, recursive=True)
    return files


def _existing(path: Path) -> Path:
    path.stat()
    return path
