"""The log in the state folder: four files that take turns, together never larger than the settings say."""

import logging
from collections.abc import Iterator
from pathlib import Path

from edgewise_agent.logs.lines import OneLine, RateLimit
from edgewise_agent.logs.settings import LogSettings

LOG_NAME = "agent.log"
FILES = 4

log = logging.getLogger("edgewise.agent.logs")


class _Fan(logging.Handler):
    """Hands what passes its filter to several handlers, so that repeats are counted once for all."""

    def __init__(self, targets: list[logging.Handler]) -> None:
        super().__init__()
        self._targets = targets

    def emit(self, record: logging.LogRecord) -> None:
        """To each of them."""
        for target in self._targets:
            target.emit(record)

    def close(self) -> None:
        """All of them, but stderr stays open."""
        for target in self._targets:
            target.close()
        super().close()


class _BoundedFile(logging.FileHandler):
    """A disk that is full or read-only costs the lines, not the agent, and says so once.

    The standard library's rotating handler counts characters instead of bytes and brings pickle and sockets along.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._max_file_bytes = max_bytes // FILES
        self._is_refused = False
        self.setFormatter(OneLine())

    def emit(self, record: logging.LogRecord) -> None:
        """Into the next file where this one would become too long."""
        try:
            self._make_room(len(self.format(record).encode(errors="replace")) + 1)
            self.stream = self.stream or self._open()
        except Exception:
            self.handleError(record)
        else:
            super().emit(record)

    def _make_room(self, line_bytes: int) -> None:
        path = Path(self.baseFilename)
        size = path.stat().st_size if path.exists() else 0
        if size == 0 or size + line_bytes < self._max_file_bytes:
            return
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        for number in range(FILES - 1, 0, -1):
            former = path.with_name(f"{LOG_NAME}.{number - 1}") if number > 1 else path
            if former.exists():
                former.replace(path.with_name(f"{LOG_NAME}.{number}"))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """What stands on stderr stays the log."""
        if not self._is_refused:
            self._is_refused = True
            log.warning("%s cannot be written; the log goes to stderr only", self.baseFilename)


def log_to_file(folder: Path, settings: LogSettings) -> logging.Handler | None:
    """From now on the agent's log goes to stderr and into ``folder``, which exists. None when it is turned off."""
    if not settings.to_file:
        return None
    logger = logging.getLogger("edgewise.agent")
    targets = list(logger.handlers)
    for target in targets:
        target.filters.clear()
    fan = _Fan([*targets, _BoundedFile(folder / LOG_NAME, max_bytes=int(settings.max_mb * 1024 * 1024))])
    fan.addFilter(RateLimit())
    logger.handlers[:] = [fan]
    return fan


def log_files(folder: Path) -> list[Path]:
    """Those that exist, the oldest first."""
    names = [f"{LOG_NAME}.{number}" for number in range(FILES - 1, 0, -1)]
    return [folder / name for name in [*names, LOG_NAME] if (folder / name).exists()]


def last_lines(folder: Path, count: int) -> Iterator[str]:
    """The newest ``count`` lines, the oldest of them first. Raises OSError."""
    lines: list[str] = []
    for path in reversed(log_files(folder)):
        lines = path.read_text(errors="replace").splitlines() + lines
        if len(lines) >= count:
            break
    yield from lines[-count:] if count else []


class Follower:
    """Reads what is added to the log, over the change from one file to the next."""

    def __init__(self, folder: Path) -> None:
        """Begins at the end of what is there."""
        self._path = folder / LOG_NAME
        self._inode, self._place = self._look()

    def new_text(self) -> str:
        """Since the last call; empty when nothing was added. Raises OSError."""
        try:
            with self._path.open("rb") as stream:
                stat = self._path.stat()
                if stat.st_ino != self._inode or stat.st_size < self._place:
                    rest = self._rest_of_former()
                    self._inode, self._place = stat.st_ino, 0
                else:
                    rest = b""
                stream.seek(self._place)
                data = stream.read()
        except FileNotFoundError:
            return ""
        self._place += len(data)
        return (rest + data).decode(errors="replace")

    def _rest_of_former(self) -> bytes:
        former = self._path.with_name(f"{LOG_NAME}.1")
        try:
            if former.stat().st_ino != self._inode:
                return b""
            with former.open("rb") as stream:
                stream.seek(self._place)
                return stream.read()
        except OSError:
            return b""

    def _look(self) -> tuple[int, int]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return stat.st_ino, stat.st_size
