"""When something happened, and how far this board's clock is to be trusted."""

import ctypes
import time
from pathlib import Path
from typing import Protocol

from edgewise_messages import Clock

_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronized."""
_TIMEX_BYTES = 512
"""More than any libc's struct timex (208 bytes on 64-bit Linux); all zero asks without changing anything."""
_ASK_AGAIN_NS = 10 * 1_000_000_000


class TimeSource(Protocol):
    """What the agent asks of a clock."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970 UTC."""

    def mono_ns(self) -> int:
        """Monotonic clock of this boot, nanoseconds."""

    def state(self) -> Clock:
        """Where the wall clock came from."""


class SystemClock:
    """The board's clock. ``root`` is where /run and /sys are found."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._state = Clock.UNSYNCED
        self._asked_ns: int | None = None

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970 UTC; a clock before 1970 counts as 0."""
        return max(time.time_ns() // 1_000_000, 0)

    def mono_ns(self) -> int:
        """Monotonic clock of this boot, nanoseconds."""
        return time.monotonic_ns()

    def state(self) -> Clock:
        """NTP when the kernel or timesyncd says so, else RTC when the kernel set the clock from one."""
        now = time.monotonic_ns()
        if self._asked_ns is None or now - self._asked_ns > _ASK_AGAIN_NS:
            self._asked_ns = now
            self._state = self._find_state()
        return self._state

    def _find_state(self) -> Clock:
        if (self._root / "run/systemd/timesync/synchronized").exists() or kernel_says_synchronized():
            return Clock.NTP
        return Clock.RTC if self._set_from_rtc() else Clock.UNSYNCED

    def _set_from_rtc(self) -> bool:
        for flag in sorted((self._root / "sys/class/rtc").glob("rtc*/hctosys")):
            try:
                if flag.read_text().strip() == "1":
                    return True
            except OSError:
                continue
        return False


def kernel_says_synchronized() -> bool:
    """True when adjtimex(2) reports a synchronized clock."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return False
    return int(adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))) not in (-1, _TIME_ERROR)
