"""Plans: read from what people write, and whom they mean. Pure."""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence

from edgewise_fleet.errors import BadRollout
from edgewise_fleet.rollouts.state import Plan, Stage
from edgewise_fleet.steering.entries import DeviceEntry, matches
from edgewise_messages import DeviceAddress

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_stages(text: str) -> tuple[Stage, ...]:
    """``canary=2,10%,100%``: canaries first, percents rising, 100% last. Raises BadRollout."""
    stages: list[Stage] = []
    for part in text.split(","):
        canary = re.fullmatch(r"canary=(\d{1,6})", part.strip())
        percent = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", part.strip())
        if part.strip() == "all":
            stages.append(Stage(percent=100.0))
        elif canary and int(canary[1]) > 0 and not stages:
            stages.append(Stage(canary=int(canary[1])))
        elif percent and 0 < float(percent[1]) <= 100:
            stages.append(Stage(percent=float(percent[1])))
        else:
            raise BadRollout(f"stages {text!r}: {part!r} cannot stand there; expected {_EXPECTED}")
    percents = [stage.percent for stage in stages if stage.percent is not None]
    if percents != sorted(set(percents)) or percents[-1:] != [100.0]:
        raise BadRollout(f"stages {text!r}: percents must rise and end in 100%; expected {_EXPECTED}")
    return tuple(stages)


def say_stage(stage: Stage) -> str:
    """As it was written."""
    return f"canary={stage.canary}" if stage.canary is not None else f"{stage.percent:g}%"


def parse_seconds(text: str) -> float:
    """``90``, ``90s``, ``10m``, ``2h``, ``1d``. Raises BadRollout."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not found:
        raise BadRollout(f"{text!r}: expected a time such as 90s, 10m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def is_meant(plan: Plan, address: DeviceAddress, entry: DeviceEntry | None) -> bool:
    """Whether the plan is for this device; one without an entry has no tags."""
    known = entry or DeviceEntry(group=address.group, device=address.device)
    return matches(known, group=plan.group, tags=plan.tags)


def in_order(rollout_id: str, addresses: Iterable[DeviceAddress]) -> list[DeviceAddress]:
    """Drawn by lot, another lot for each rollout, the same whenever it is asked."""

    def lot(address: DeviceAddress) -> str:
        return hashlib.sha256(f"{rollout_id}/{address.group}/{address.device}".encode()).hexdigest()

    return sorted(addresses, key=lot)


def stage_size(stage: Stage, devices: int) -> int:
    """How many devices have been told at the stage's end."""
    if stage.canary is not None:
        return min(stage.canary, devices)
    return math.ceil((stage.percent or 0.0) / 100 * devices)


def dry_run(plan: Plan, rollout_id: str, devices: Sequence[tuple[DeviceAddress, bool, str]]) -> list[str]:
    """What would be done, a line each; ``devices`` are address, online, running digest."""
    running = {address for address, _, sha256 in devices if sha256 == plan.sha256}
    online = {address for address, is_online, _ in devices if is_online}
    order = in_order(rollout_id, (address for address, _, _ in devices))
    # As the engine does: those online first, in the order of the lot.
    order.sort(key=lambda address: address not in online)
    lines, begin = [], 0
    for number, stage in enumerate(plan.stages, 1):
        end = max(begin, stage_size(stage, len(order)))
        told = order[begin:end]
        lines.append(
            f"stage {number} ({say_stage(stage)}): {len(told)} devices, {end} of {len(order)} in all"
        )
        for address in told:
            marks = [word for word, holds in (
                ("runs it already", address in running), ("offline, told when it returns", address not in online)
            ) if holds]  # fmt: skip
            lines.append(f"  {address.group}/{address.device}{': ' + '; '.join(marks) if marks else ''}")
        begin = end
    return lines


_EXPECTED = "for example canary=2,10%,100%"
