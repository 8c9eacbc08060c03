"""Numbers and times as people read them, the same on the page and in the terminal."""

from datetime import datetime

from edgewise_fleet.summary import Condition, DeviceSummary

NOT_TOLD = "–"


def number(value: float | None, *, digits: int = 1, unit: str = "") -> str:
    """A number with its unit, or a dash."""
    if value is None:
        return NOT_TOLD
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"


def age(then_ms: int, now_ms: int) -> str:
    """How long ago, in one unit."""
    if not then_ms:
        return "never"
    seconds = max(0, now_ms - then_ms) // 1000
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} d"


def seen(then_ms: int, now_ms: int) -> str:
    """When a device was last heard. Under five seconds is `now`: a ticking counter tells nobody anything."""
    if not then_ms:
        return "never"
    return "now" if now_ms - then_ms < 5_000 else f"{age(then_ms, now_ms)} ago"


def condition(device: DeviceSummary, now_ms: int) -> str:
    """The condition, and for how long it holds unless it is online."""
    if device.condition is Condition.ONLINE:
        return device.condition.value
    return f"{device.condition.value} {age(device.since_ms, now_ms)}"


def throttled(words: tuple[str, ...] | None) -> str:
    """Throttling in words."""
    if words is None:
        return NOT_TOLD
    return ", ".join(words) or "no"


def size(value: float | None) -> str:
    """Bytes in binary units."""
    if value is None:
        return NOT_TOLD
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def local_time(at_ms: int) -> str:
    """A moment in the host's time zone."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
