"""What changed on the device when latency rose. Each finder needs its own evidence; none is found by exclusion."""

from collections.abc import Callable
from dataclasses import dataclass

from edgewise_agent.diagnosis.history import History
from edgewise_agent.diagnosis.level import fell, median, more_often, rose

UNDER_VOLTAGE, CAPPED, THROTTLED, SOFT_LIMIT = 1, 2, 4, 8
"""Bits of `vcgencmd get_throttled`."""
_HOT_C = 80.0
"""Raspberry Pi documentation, "Frequency management and thermal control": limits begin at 80 degrees."""
_OTHERS_MORE = 20.0
_CLOCK_RATIO = 0.85
_PRESSURE_MORE = 5.0
_SWAP_MORE_BYTES = 16 * 1024 * 1024
_PIXELS_RATIO = 1.5
_MIB = 1024 * 1024
_EARLIER = 3
"""A cause may show this many reports before latency does."""


@dataclass(frozen=True)
class Cause:
    """What changed, since when, what to do."""

    text: str
    since_s: float
    remedy: str


@dataclass(frozen=True)
class Finder:
    """One kind of cause, and the metrics without which nothing can be said of it."""

    subject: str
    """For the sentence that says that it did not change."""
    needs: tuple[str, ...]
    find: Callable[[History, float], Cause | None]

    def can_tell(self, history: History) -> bool:
        """True when the device reports what it takes."""
        return all(history.knows(name) for name in self.needs)


def _under_voltage(history: History, at_s: float) -> Cause | None:
    since_s = _bit_set(history, UNDER_VOLTAGE, at_s)
    if since_s is None:
        return None
    return Cause(
        "under-voltage throttling",
        since_s,
        "use the supply made for the board (27 W for a Raspberry Pi 5, 15 W for a Pi 4) and a short cable",
    )


def _heat(history: History, at_s: float) -> Cause | None:
    bits = [_bit_set(history, bit, at_s) for bit in (SOFT_LIMIT, THROTTLED, CAPPED)]
    since = [since_s for since_s in bits if since_s is not None]
    temperatures_c = history.since("board.temperature_c", at_s)
    is_soft = bits[0] is not None
    if not since or not (is_soft or (temperatures_c and max(temperatures_c) >= _HOT_C)):
        return None
    degrees = f" at {max(temperatures_c):.0f} °C" if temperatures_c else ""
    return Cause(
        f"throttling by heat{degrees}", min(since), "give it a fan or a heat sink, or a cooler place"
    )


def _clock(history: History, at_s: float) -> Cause | None:
    name = "board.cpu_frequency_mhz"
    before, now = history.before(name, at_s), history.since(name, at_s)
    if not (fell(before, now) and median(now) <= _CLOCK_RATIO * median(before)):
        return None
    limit = (median(before) + median(now)) / 2
    since_s = history.began_s(name, lambda mhz: mhz < limit)
    return Cause(
        f"a fall of the processor's clock from {median(before):.0f} to {median(now):.0f} MHz",
        at_s if since_s is None else since_s,
        "look at its governor (cpufreq) and its cooling",
    )


def _others(history: History, at_s: float) -> Cause | None:
    return _more(
        history,
        at_s,
        "board.cpu_others_percent",
        _OTHERS_MORE,
        lambda before, now: (
            f"other programs, which take {now:.0f} % of the processor (before {before:.0f} %)"
        ),
        "find them with top, and move or limit them (CPUQuota= in their unit)",
    )


def _memory(history: History, at_s: float) -> Cause | None:
    remedy = "free memory: fewer programs, a smaller model, or MemoryMax= for the others"
    pressure = _more(
        history,
        at_s,
        "board.memory_pressure_percent",
        _PRESSURE_MORE,
        lambda before, now: f"a shortage of memory, for which tasks wait {now:.0f} % of the time",
        remedy,
    )
    return pressure or _more(
        history,
        at_s,
        "board.swap_used_bytes",
        _SWAP_MORE_BYTES,
        lambda before, now: (
            f"a shortage of memory, of which {now / _MIB:.0f} MiB are swapped out (before {before / _MIB:.0f})"
        ),
        remedy,
    )


def _inputs(history: History, at_s: float) -> Cause | None:
    name = "model.input_pixels"
    before, now = history.before(name, at_s), history.since(name, at_s)
    if not (rose(before, now) and median(now) >= _PIXELS_RATIO * median(before)):
        return None
    limit = (median(before) + median(now)) / 2
    since_s = history.began_s(name, lambda pixels: pixels > limit)
    return Cause(
        f"larger inputs of {median(now) / 1e6:.2g} instead of {median(before) / 1e6:.2g} megapixels",
        at_s if since_s is None else since_s,
        "let the camera give smaller pictures",
    )


FINDERS = (
    Finder("under-voltage", ("board.throttled_now",), _under_voltage),
    Finder("throttling by heat", ("board.throttled_now",), _heat),
    Finder("the processor's clock", ("board.cpu_frequency_mhz",), _clock),
    Finder("other programs", ("board.cpu_others_percent",), _others),
    Finder("memory", ("board.memory_pressure_percent",), _memory),
    Finder("the size of inputs", ("model.input_pixels",), _inputs),
)
"""The first that is found is told as the cause, further ones as being there, too."""

WATCHED = frozenset(
    {
        *(name for finder in FINDERS for name in finder.needs),
        "board.temperature_c",
        "board.throttled_since_boot",
        "board.swap_used_bytes",
    }
)


def _bit_set(history: History, bit: int, at_s: float) -> float | None:
    """Since when a bit is set that was not set before; None when it is not set, or was set all along.

    The bits of now are looked at once per report, so a short under-voltage shows in those since boot only.
    """

    def is_set(value: float) -> bool:
        return bool(int(value) & bit)

    now = [is_set(value) for value in history.since("board.throttled_now", at_s)]
    before = [is_set(value) for value in history.before("board.throttled_now", at_s)][:-_EARLIER]
    if more_often(before, now):
        began_s = history.began_s("board.throttled_now", is_set)
        return at_s if began_s is None else began_s
    ever_now = [is_set(value) for value in history.since("board.throttled_since_boot", at_s)]
    ever_before = [is_set(value) for value in history.before("board.throttled_since_boot", at_s)][:-_EARLIER]
    if ever_now and ever_before and ever_now[-1] and not any(ever_before):
        return history.began_s("board.throttled_since_boot", is_set)
    return None


def _more(
    history: History,
    at_s: float,
    name: str,
    least_more: float,
    text: Callable[[float, float], str],
    remedy: str,
) -> Cause | None:
    before, now = history.before(name, at_s), history.since(name, at_s)
    if not (rose(before, now) and median(now) - median(before) >= least_more):
        return None
    limit = (median(before) + median(now)) / 2
    since_s = history.began_s(name, lambda value: value > limit)
    return Cause(text(median(before), median(now)), at_s if since_s is None else since_s, remedy)
