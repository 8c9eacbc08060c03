"""Whether an inference was at hand when the process died: one byte in a file that lies in memory.

The kernel keeps a file of tmpfs when the process that wrote it is killed, and loses it with the power, so that it
says nothing about an earlier boot; writing it wears out no card.
"""

import hashlib
import logging
import os
import stat
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
SHARED_MEMORY = Path("/dev/shm")
_KINDS = ("tmpfs", "ramfs")
_IDLE, _BUSY = b"\x00", b"\x01"

log = logging.getLogger("edgewise.agent.protection")


class Hand(Enum):
    """What the last process had at hand."""

    IDLE = "idle"
    BUSY = "busy"
    UNKNOWN = "unknown"
    """There is no marker of it: no memory to write one to, or it was cleared meanwhile, as a container's is."""


class Marker:
    """Of one pipeline; `begin` and `end` belong to one thread, and cost a system call each."""

    def __init__(self, path: Path | None) -> None:
        """``path`` lies in memory; None where there is no such place. A file that is not this user's is left alone."""
        self._descriptor = -1
        self._busy_since_s: float | None = None
        self.last = Hand.UNKNOWN
        """Of the process before this one."""
        if path is None:
            return
        try:
            self._descriptor = _open(path)
            before = os.pread(self._descriptor, 1, 0)
        except OSError as error:
            log.debug("%s: no marker: %s", path, error)
            return
        self.last = {_IDLE: Hand.IDLE, _BUSY: Hand.BUSY}.get(before, Hand.UNKNOWN)
        self.end()

    def begin(self) -> None:
        """The model is at work from now on."""
        self._busy_since_s = time.monotonic()
        self._write(_BUSY)

    def end(self) -> None:
        """It is not."""
        self._busy_since_s = None
        self._write(_IDLE)

    def mark(self, is_busy: bool) -> None:
        """`begin` or `end`."""
        if is_busy:
            self.begin()
        else:
            self.end()

    @property
    def busy_s(self) -> float:
        """How long it has been at work; 0 when it is not."""
        began_s = self._busy_since_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def close(self) -> None:
        """Let go of the file, which stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, what: bytes) -> None:
        if self._descriptor >= 0:
            try:
                os.pwrite(self._descriptor, what, 0)
            except OSError as error:  # memory that is full
                log.debug("the marker cannot be written: %s", error)


def marker_path(
    state_dir: Path, pipeline: str, environment: Mapping[str, str], *, mounts: Path = MOUNTS
) -> Path | None:
    """In systemd's RuntimeDirectory= (which its RuntimeDirectoryPreserve= keeps), else in /dev/shm."""
    runtime = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    whose = hashlib.sha256(os.fsencode(state_dir.absolute())).hexdigest()[:16]
    for folder in (Path(runtime) if runtime else None, SHARED_MEMORY):
        if folder is not None and _lies_in_memory(folder, mounts) and os.access(folder, os.W_OK | os.X_OK):
            return folder / f"edgewise-{whose}-{pipeline}"
    return None


def _lies_in_memory(folder: Path, mounts: Path) -> bool:
    """By the mount that it is on: the longest one that it is below."""
    try:
        lines = [line.split() for line in mounts.read_text(errors="replace").splitlines()]
    except OSError:
        return False
    found = [(len(line[1]), line[2]) for line in lines if len(line) > 2 and folder.is_relative_to(line[1])]
    # Of two mounts on one place the later one is what is seen.
    return bool(found) and max(reversed(found), key=lambda one: one[0])[1] in _KINDS


def _open(path: Path) -> int:
    """Anybody may write to /dev/shm: no link is followed, and nobody else's file is taken. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink != 1:
        os.close(descriptor)
        raise PermissionError(f"{path} is not this user's own file")
    return descriptor
