"""Keep the chatter of C++ runtimes off the user's screen."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

_LOCK = threading.RLock()
_CHATTER = (b"INFO: ", b"INFO:\t")


@contextmanager
def without_chatter(*, drop_all: bool = False) -> Iterator[None]:
    """Hold back what is written to file descriptor 2, and let through what is more than information.

    With ``drop_all`` nothing is let through: for a trial whose failure is told in another way.

    The runtimes write to the descriptor from C++ and offer no setting for it. For a few milliseconds other
    threads' lines are held back too; they follow at the end.
    """
    with _LOCK, _unnamed_file() as held:
        try:
            saved = os.dup(2)
        except OSError:  # a service without a standard error has no screen to keep clean
            yield
            return
        _flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            if not drop_all:
                _let_through(held.read())


def _unnamed_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    import tempfile  # only where the kernel knows no files in memory

    return tempfile.TemporaryFile()


def _flush() -> None:
    with suppress(AttributeError, OSError, ValueError):  # no stderr, or a closed one
        sys.stderr.flush()


def _let_through(text: bytes) -> None:
    kept = b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(_CHATTER))
    if kept:
        with suppress(OSError):
            os.write(2, kept)
