"""A foreign program, run apart: limited time and memory, its chatter kept for the error message."""

import contextlib
import os
import re
import signal
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise_converters.errors import EngineError

_MOST_OF_A_COMPLAINT = 240
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_KEPT_VARIABLES = ("HOME", "LANG", "TMPDIR", "TERM")


@dataclass(frozen=True)
class Limits:
    """What a program may use."""

    time_s: float = 600.0
    memory_bytes: int = 0
    """Of private memory, RLIMIT_DATA of getrlimit(2); 0 for three quarters of this computer's."""

    @property
    def memory(self) -> int:
        """In bytes."""
        return self.memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4


def run_limited(
    name: str,
    words: Sequence[str | Path],
    *,
    folder: Path,
    limits: Limits,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run a program in ``folder``; what it printed. It and its children are ended with us, whatever happens.

    The program limits its own memory: it finds the number in EDGEWISE_MEMORY_BYTES. Of our environment it gets only
    what names places and languages. Raises EngineError when it fails, crashes or takes longer than its time.
    """
    environment = {key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ}
    environment |= {"EDGEWISE_MEMORY_BYTES": str(limits.memory), **(variables or {})}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(limits.time_s)
        except subprocess.TimeoutExpired:
            raise EngineError(f"{name}: not done after {limits.time_s:g} s, so it was ended") from None
        finally:
            _end(process)
    said = log.read_text(encoding="utf-8", errors="replace")
    if status != 0:
        raise EngineError(f"{name} failed{ended_by_signal(status)}: {last_words(said)}")
    return said


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and everything it started; all of them are in the session that it leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ended_by_signal(status: int) -> str:
    """How a process ended, where that says something."""
    if status >= 0:
        return f" with exit status {status}"
    return f" by {signal.Signals(-status).name}"


def last_words(said: str) -> str:
    """The line that tells most of what a program printed: its last error, else its last line."""
    lines = [line.strip() for line in _COLOURS.sub("", said).replace("\r", "\n").splitlines()]
    lines = [line for line in lines if line]
    errors = [line for line in lines if re.match(r"(?i)([\w.]*(error|exception)|error):? ", line)]
    chosen = (errors or lines or ["it printed nothing"])[-1]
    return textwrap.shorten(chosen, _MOST_OF_A_COMPLAINT, placeholder=" ...")
