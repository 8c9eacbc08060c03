"""The sentence: what rose by how much, because of what, since when, and what to do."""

import time
from collections.abc import Sequence

from edgewise_agent.diagnosis.causes import Cause
from edgewise_agent.diagnosis.level import Level

_CLOCK_WAS_SET_MS = 1_577_836_800_000
"""2020-01-01: an earlier clock was never set, and its time of day would mislead."""
_TOLERANCE = 0.12


def when(at_s: float, *, now_s: float, now_ms: int) -> str:
    """``since 12:04`` by the device's own clock and time zone; ``for 3 min`` while that clock is not set."""
    if now_ms < _CLOCK_WAS_SET_MS:
        return f"for {max(round((now_s - at_s) / 60), 1)} min"
    return time.strftime("since %H:%M", time.localtime(now_ms / 1000 - (now_s - at_s)))


def rise(level: Level) -> str:
    """``p95 doubled, from 31 to 62 ms``."""
    if level.is_promise:
        ratio = level.now / level.before
        promised = f"({level.now:.3g} against {level.before:.3g} ms)"
        return f"p95 is {ratio:.1f} times what the model's card promises {promised}"
    return f"p95 {_times(level.now / level.before)}, from {level.before:.3g} to {level.now:.3g} ms"


def because(causes: Sequence[Cause], *, now_s: float, now_ms: int) -> str:
    """The first cause with its remedy; the others as being there, too."""
    first, *others = causes
    text = f" because of {first.text} {when(first.since_s, now_s=now_s, now_ms=now_ms)}"
    if others:
        also = ", ".join(f"{one.text} {when(one.since_s, now_s=now_s, now_ms=now_ms)}" for one in others)
        text += f"; also {also}"
    return f"{text}; {first.remedy}"


def no_cause(unchanged: Sequence[str], unknown: Sequence[str]) -> str:
    """What was looked at, and what this device does not tell."""
    text = "; no cause was seen"
    if unchanged:
        text += f": as before are {_listed(unchanged)}"
    if unknown:
        text += f"{';' if unchanged else ':'} this device does not tell of {_listed(unknown)}"
    return text


def _times(ratio: float) -> str:
    for number, word in ((2, "doubled"), (3, "tripled"), (4, "quadrupled")):
        if abs(ratio / number - 1) <= _TOLERANCE:
            return word
    return f"rose to {ratio:.2g} times"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
