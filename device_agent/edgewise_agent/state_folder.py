"""The folder that holds what outlives the process, held by one agent at a time."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from edgewise_agent.errors import OutboxError, StateInUse

LOCK_NAME = "agent.lock"
OUTBOX_NAME = "outbox.db"


class StateFolder:
    """A context manager: the lock goes with the process, also when it is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    @property
    def outbox(self) -> Path:
        """Where the outbox lies."""
        return self.path / OUTBOX_NAME

    def drift(self, pipeline: str) -> Path:
        """Where the drift monitor of a pipeline keeps its state."""
        return self.path / f"drift-{pipeline}.json"

    def models(self, pipeline: str) -> Path:
        """Where the models of a pipeline lie, and how they did."""
        return self.path / "models" / pipeline

    def __enter__(self) -> Self:
        """Create the folder if need be and lock it. Raises StateInUse or OutboxError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise OutboxError(
                f"device.state_dir {self.path}: {error.strerror}; name a folder that this user can write"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise StateInUse(
                f"device.state_dir {self.path}: another agent (process {holder or 'unknown'}) uses it;"
                " stop that one, or give this one a folder of its own"
            ) from error
        with contextlib.suppress(OSError):  # on a full disk the lock holds without the number in it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)
