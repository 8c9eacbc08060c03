"""A drift in words."""

import math

from edgewise_agent.drift.classes import OTHER
from edgewise_agent.drift.monitor import CLASSES, MIX, SWITCHES, Change, DriftMonitor, Moved
from edgewise_agent.drift.observation import (
    CONFIDENCE,
    EMBEDDING_DISTANCE,
    INPUT_DEVIATION,
    INPUT_MEAN,
    MARGIN,
)

_MOST_TOLD = 3
"""Statistics in one message; the rest is counted."""
_CLASSES_TOLD = 2

_WORDS = {
    "brightness": ("pictures are darker", "pictures are brighter", "mean brightness"),
    "contrast": ("pictures have less contrast", "pictures have more contrast", "mean contrast"),
    "sharpness": ("pictures are more blurred", "pictures are sharper", "mean sharpness"),
    "saturation": ("pictures are paler", "pictures are more colourful", "mean saturation"),
    "warmth": ("pictures are bluer", "pictures are redder", "mean red less blue"),
    "tint": ("pictures are more purple", "pictures are greener", "mean green less red and blue"),
    CONFIDENCE: ("answers are less sure", "answers are surer", "mean confidence"),
    MARGIN: (
        "first and second answer are closer",
        "first and second answer are further apart",
        "mean margin",
    ),
    EMBEDDING_DISTANCE: (
        "embeddings are more alike",
        "embeddings are less alike",
        "mean distance from their mean direction",
    ),
    INPUT_MEAN: ("inputs are lower", "inputs are higher", "mean"),
    INPUT_DEVIATION: ("inputs vary less", "inputs vary more", "mean deviation"),
}


def message_of(change: Change, monitor: DriftMonitor) -> str:
    """One line for a person. Must be called before the monitor takes the next observation."""
    if not change.is_start:
        names = ", ".join(one.name for one in change.moved)
        return f"as at conversion again after {change.inputs} inputs: {names}"
    # Of what mix they are the others tell, where there are any.
    moved = [one for one in change.moved if one.name != MIX] or change.moved
    told = [_sentence(one, monitor) for one in moved[:_MOST_TOLD]]
    more = len(moved) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _sentence(one: Moved, monitor: DriftMonitor) -> str:
    if one.name == CLASSES:
        return _of_classes(one, monitor)
    if one.name == SWITCHES:
        live, kept = monitor.live_switches(one.window), monitor.baseline_switches()
        often = "more often" if live > kept else "less often"
        return f"answers change {often} than at conversion: {live:.0%} from input to input against {kept:.0%}"
    if one.name == MIX:
        return f"inputs are another mix than at conversion: {_of_mix(one, monitor)}"
    return _of_scalar(one, monitor)


def _of_scalar(one: Moved, monitor: DriftMonitor) -> str:
    """By the mean where it moved to the side that the alarm is about, else by the share beyond the mark."""
    scalar = next(scalar for scalar in monitor.reference.scalars if scalar.name == one.name)
    live = monitor.live_mean(one.name, one.window)
    beyond = one.beyond
    lower, higher, title = _WORDS.get(one.name, (f"{one.name} fell", f"{one.name} rose", f"mean {one.name}"))
    if beyond is None:
        return f"{one.name} moved"
    words = lower if beyond.mark.is_low else higher
    if (live < scalar.mean) == beyond.mark.is_low and not math.isnan(live):
        return f"{words} than at conversion: {title} {live:.3g} against {scalar.mean:.3g}"
    kept = beyond.mark.count / max(scalar.histogram.total, 1)
    side = "below" if beyond.mark.is_low else "from"
    return (
        f"more {words} than at conversion: {beyond.share:.0%} have a {title.removeprefix('mean ')} "
        f"{side} {beyond.mark.value:.3g}, against {kept:.0%}"
    )


def _of_mix(one: Moved, monitor: DriftMonitor) -> str:
    """By classes where there are any, else by the statistic that moved most."""
    if monitor.reference.classes:
        return _class_words(one, monitor)
    name = monitor.most_moved()
    scalar = next(scalar for scalar in monitor.reference.scalars if scalar.name == name)
    title = _WORDS.get(name, ("", "", f"mean {name}"))[2]
    return f"{title} {monitor.live_mean(name, one.window):.3g} against {scalar.mean:.3g}"


def _of_classes(one: Moved, monitor: DriftMonitor) -> str:
    return f"answers are of other classes than at conversion: {_class_words(one, monitor)}"


def _class_words(one: Moved, monitor: DriftMonitor) -> str:
    live, kept = monitor.live_classes(one.window), monitor.reference.classes
    w, n = max(sum(live.values()), 1), max(sum(kept.values()), 1)
    by = {index: live.get(index, 0) / w - kept.get(index, 0) / n for index in {*live, *kept}}
    ordered = sorted(by, key=lambda index: (by[index], index))
    fewer = [index for index in ordered[:_CLASSES_TOLD] if by[index] < 0]
    more = [index for index in ordered[::-1][:_CLASSES_TOLD] if by[index] > 0]
    parts = []
    for title, chosen in (("fewer of", fewer), ("more of", more)):
        if chosen:
            said = ", ".join(
                f"{_label(index, monitor)} ({live.get(index, 0) / w:.0%} against {kept.get(index, 0) / n:.0%})"
                for index in chosen
            )
            parts.append(f"{title} {said}")
    return " and ".join(parts)


def _label(index: int, monitor: DriftMonitor) -> str:
    if index == OTHER:
        return "rare classes"
    labels = monitor.reference.labels
    return labels[index] if 0 <= index < len(labels) and labels[index] else f"#{index}"
