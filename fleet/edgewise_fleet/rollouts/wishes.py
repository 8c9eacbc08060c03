"""What a person asks of rollouts: begin, pause, resume, halt; and how they are shown."""

import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from edgewise_fleet import wording
from edgewise_fleet.errors import BadRollout
from edgewise_fleet.rollouts.engine import halted
from edgewise_fleet.rollouts.plan import say_stage
from edgewise_fleet.rollouts.state import Decision, DevicePhase, DeviceProgress, Phase, Plan, Rollout
from edgewise_fleet.steering.base import RolloutStore
from edgewise_messages import DeviceAddress

ATTEMPTS = 20
OPEN = (Phase.RUNNING, Phase.PAUSED, Phase.HALTING)


def begin(store: RolloutStore, plan: Plan) -> Rollout:
    """Raises BadRollout while another one is under way that may mean the same devices."""
    at_ms = now_ms()
    rollout = Rollout(id=f"r-{time.strftime('%Y%m%d')}-{secrets.token_hex(3)}", created_ms=at_ms, plan=plan)
    told = f"version {plan.version} of {plan.target}, {plan.sha256[:16]}, {stages_of(plan)}"
    for _ in range(ATTEMPTS):  # somebody else may begin one in between
        others = store.rollouts()
        for other in others:
            if other.phase in OPEN and _may_meet(other.plan, plan):
                raise BadRollout(
                    f"rollout {other.id} of {other.plan.target} is {other.phase} for the same devices;"
                    f" wait for its end, or `edgewise fleet rollout halt {other.id}`"
                )
        begun = Decision(at_ms=at_ms, what="begun", reason=told)
        if store.save(rollout, decisions=[begun], beside=len(others)):
            return rollout
    raise BadRollout("others begin rollouts all the time; try again")


def pause(store: RolloutStore, rollout_id: str) -> Rollout:
    """Nobody new is told. Raises BadRollout."""
    return _change(store, rollout_id, (Phase.RUNNING,), Phase.PAUSED, "paused")


def resume(store: RolloutStore, rollout_id: str) -> Rollout:
    """Raises BadRollout."""
    return _change(store, rollout_id, (Phase.PAUSED,), Phase.RUNNING, "resumed")


def halt(store: RolloutStore, rollout_id: str, reason: str) -> Rollout:
    """Take it back from every device. Raises BadRollout; a rollout that is done can be taken back, too."""
    return _change(store, rollout_id, (Phase.RUNNING, Phase.PAUSED, Phase.DONE), Phase.HALTING, reason)


def find(store: RolloutStore, rollout_id: str | None) -> Rollout:
    """By id or its beginning; the latest without one. Raises BadRollout."""
    rollouts = store.rollouts()
    if not rollouts:
        raise BadRollout("no rollout yet; `edgewise fleet rollout start` begins one")
    if rollout_id is None:
        return rollouts[-1]
    found = [one for one in rollouts if one.id.startswith(rollout_id)]
    if len(found) != 1:
        raise BadRollout(
            f"rollout {rollout_id!r}: {len(found)} have such an id; `rollout status --all` lists them"
        )
    return found[0]


def stages_of(plan: Plan) -> str:
    """As they were written."""
    return ",".join(say_stage(stage) for stage in plan.stages)


def headline(rollout: Rollout) -> str:
    """One line."""
    plan = rollout.plan
    where = f"stage {rollout.stage + 1}/{len(plan.stages)} ({say_stage(plan.stages[rollout.stage])})"
    reason = f": {rollout.reason}" if rollout.reason else ""
    return f"{rollout.id}  {plan.target} version {plan.version}  {rollout.phase.value}, {where}{reason}"


def status_lines(rollout: Rollout, devices: Mapping[DeviceAddress, DeviceProgress]) -> list[str]:
    """The rollout, how many devices are how far, and those that are not as they should be."""
    tally = Counter(one.phase for one in devices.values())
    counts = ", ".join(f"{tally[phase]} {phase.value}" for phase in DevicePhase if tally[phase])
    lines = [headline(rollout), f"  {counts or 'no device seen yet'}"]
    named = [
        one
        for one in devices.values()
        if one.phase in (DevicePhase.FAILED, DevicePhase.RECALLED)
        or (one.reason and one.phase is DevicePhase.BACK)
    ]
    lines += [f"  {one.group}/{one.device}: {one.phase.value}: {one.reason or one.command}" for one in named]
    return lines


def history_lines(decisions: Sequence[Decision]) -> list[str]:
    """A line each, oldest first."""
    return [
        "  ".join(part for part in (wording.local_time(one.at_ms), one.device, one.what, one.reason) if part)
        for one in decisions
    ]


def _change(store: RolloutStore, rollout_id: str, from_: tuple[Phase, ...], to: Phase, what: str) -> Rollout:
    for _ in range(ATTEMPTS):  # the runner may save in between
        rollout = find(store, rollout_id)
        if rollout.phase not in from_:
            expected = " or ".join(phase.value for phase in from_)
            raise BadRollout(f"rollout {rollout.id} is {rollout.phase.value}, expected {expected}")
        if to is Phase.HALTING:
            after, decision = halted(rollout, what, now_ms())
        else:
            after, decision = (
                replace(rollout, phase=to),
                Decision(at_ms=now_ms(), what=what, reason="by hand"),
            )
        if store.save(after, decisions=[decision]):
            return after
    raise BadRollout(f"rollout {rollout_id}: it changes all the time; try again")


def _may_meet(one: Plan, other: Plan) -> bool:
    groups = None in (one.group, other.group) or one.group == other.group
    return groups and (one.pipeline or "main") == (other.pipeline or "main")


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
