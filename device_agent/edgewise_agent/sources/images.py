"""Image files as a source: folders and single files, in the order of their names."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgewise_agent.errors import SourceError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


class ImageFiles:
    """Every image once per pass; with ``loop`` pass after pass, each with a fresh look at the folders."""

    def __init__(self, paths: Sequence[Path], *, loop: bool, recursive: bool) -> None:
        self._paths = tuple(paths)
        self._loop = loop
        self._recursive = recursive
        self._queue: deque[Path] = deque()
        self._looked = False

    def __iter__(self) -> Iterator[Path | None]:
        """Itself."""
        return self

    def __next__(self) -> Path | None:
        """The next image, None when a looping source finds none; a file deleted meanwhile is left out."""
        while True:
            if not self._queue:
                if self._looked and not self._loop:
                    raise StopIteration
                self._queue.extend(find_images(self._paths, recursive=self._recursive))
                self._looked = True
                if not self._queue:
                    if self._loop:
                        return None
                    raise StopIteration
            path = self._queue.popleft()
            if path in self._paths or path.exists():
                return path


def find_images(paths: Sequence[Path], *, recursive: bool) -> list[Path]:
    """The images in ``paths``: a file as it is, a folder's images sorted by path, hidden ones left out.

    Raises SourceError for a path that does not exist or a folder that cannot be read.
    """
    found: list[Path] = []
    for path in paths:
        try:
            found += _images_in(path, recursive=recursive) if path.is_dir() else [_existing(path)]
        except OSError as error:
            raise SourceError(f"source.path {path}: {error.strerror or error}") from error
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
