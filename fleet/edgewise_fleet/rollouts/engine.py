"""What to do next in a rollout: a pure function of its state and of what is seen. No clock, no store, no broker."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from edgewise_fleet.rollouts import gates
from edgewise_fleet.rollouts.observation import Observation
from edgewise_fleet.rollouts.plan import in_order, say_stage, stage_size
from edgewise_fleet.rollouts.state import Decision, DevicePhase, DeviceProgress, Phase, Rollout
from edgewise_messages import CommandName, DeviceAddress
from edgewise_messages.records import Value

RESEND_MS = 20_000
"""The same command, under the same id, while no response came: a device does it once."""
REFUSED_MS = 60_000
GRACE_MS = 10_000
"""A device that watches a model itself may be about to take it back; a rollback on top would go one further back."""
COMMAND_LIFE_MS = 3_600_000
"""After that a new one is made."""
UNDER_WAY = (DevicePhase.TOLD, DevicePhase.UPDATED)
HAS_IT = (*UNDER_WAY, DevicePhase.CONFIRMED, DevicePhase.FAILED)


@dataclass(frozen=True)
class Order:
    """A command to be signed and sent, once the state that knows of it is on the disk."""

    address: DeviceAddress
    command_id: str
    issued_ms: int
    expires_ms: int
    name: str
    arguments: Mapping[str, Value]


@dataclass
class Step:
    """What one look led to."""

    rollout: Rollout
    devices: dict[DeviceAddress, DeviceProgress]
    now_ms: int
    changed: set[DeviceAddress] = field(default_factory=set)
    orders: list[Order] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def put(self, progress: DeviceProgress, what: str = "", reason: str = "") -> None:
        """A device's new state, and a line of the history where it is worth one."""
        self.devices[progress.address] = progress
        self.changed.add(progress.address)
        if what:
            name = f"{progress.group}/{progress.device}"
            self.decisions.append(Decision(at_ms=self.now_ms, what=what, reason=reason, device=name))

    def decide(self, what: str, why: str = "", /, **changes: object) -> None:
        """The rollout's new state, with the reason."""
        self.rollout = replace(self.rollout, **changes)
        self.decisions.append(Decision(at_ms=self.now_ms, what=what, reason=why))

    def in_phase(self, *phases: DevicePhase) -> list[DeviceProgress]:
        """The devices that are so far."""
        return [one for one in self.devices.values() if one.phase in phases]


def advance(
    rollout: Rollout,
    devices: Mapping[DeviceAddress, DeviceProgress],
    seen: Mapping[DeviceAddress, Observation],
    now_ms: int,
) -> Step:
    """One look. ``seen`` holds the devices that are meant; those that left are in ``devices`` still."""
    step = Step(rollout, dict(devices), now_ms)
    if rollout.phase is Phase.DONE:
        return step
    if rollout.phase in (Phase.RUNNING, Phase.PAUSED):
        _take_in(step, seen)
        _judge_all(step, seen)
        _halt_if_bad(step)
    if step.rollout.phase in (Phase.RUNNING, Phase.PAUSED):
        _take_back_failed(step, seen)
    if step.rollout.phase is Phase.RUNNING:
        _tell_more(step, seen)
        _end_stage(step, seen)
    if step.rollout.phase in (Phase.HALTING, Phase.HALTED):
        _recall(step, seen)
    _send_again(step, seen)
    return step


def halted(rollout: Rollout, reason: str, now_ms: int) -> tuple[Rollout, Decision]:
    """By a person or by a gate: from here everything is taken back."""
    after = replace(rollout, phase=Phase.HALTING, reason=reason, held_since_ms=0)
    return after, Decision(at_ms=now_ms, what="halted", reason=reason)


def _take_in(step: Step, seen: Mapping[DeviceAddress, Observation]) -> None:
    """Devices that are new in the group wait for their turn."""
    for address in seen:
        if address not in step.devices:
            step.put(DeviceProgress(group=address.group, device=address.device))


def _judge_all(step: Step, seen: Mapping[DeviceAddress, Observation]) -> None:
    for progress in step.in_phase(*UNDER_WAY, DevicePhase.CONFIRMED):
        found = seen.get(progress.address)
        if found is None:
            _fail(step, progress, "it is in the store no more")
        else:
            _judge(step, progress, found)


def _judge(step: Step, progress: DeviceProgress, seen: Observation) -> None:
    plan = step.rollout.plan
    if progress.command and seen.response is not None and not progress.answered:
        refused = seen.refused()
        if refused:
            _fail(step, progress, f"{progress.command} {refused}")
            return
        progress = replace(progress, answered=True)
        step.put(progress)
    if progress.phase is DevicePhase.CONFIRMED:
        _judge_confirmed(step, progress, seen)
        return
    verdict, reason = gates.own_verdict(progress, seen, plan.sha256)
    if verdict == "failed":
        _fail(step, progress, reason)
        return
    if progress.phase is DevicePhase.TOLD and seen.sha256 == plan.sha256:
        progress = replace(
            progress,
            phase=DevicePhase.UPDATED,
            updated_ms=step.now_ms,
            counted_inputs=seen.inferences,
            counted_errors=seen.errors,
            heard_ms=seen.last_seen_ms,
        )
        step.put(progress, "updated", "runs the new model")
    elif progress.phase is DevicePhase.UPDATED and seen.sha256 != plan.sha256:
        _fail(step, progress, "it runs another model again")
        return
    progress, trouble = _measure(step, progress, seen)
    if trouble:
        _fail(step, progress, trouble)
        return
    if progress.phase is DevicePhase.UPDATED:
        _confirm(step, progress, verdict, reason)


def _judge_confirmed(step: Step, progress: DeviceProgress, seen: Observation) -> None:
    """As long as the rollout runs a device may still turn out badly; silence alone is none of the model's by now."""
    if seen.sha256 != step.rollout.plan.sha256:
        _fail(step, progress, "it runs another model again")
        return
    progress, trouble = _measure(step, progress, seen)
    if trouble:
        _fail(step, progress, trouble)


def _measure(step: Step, progress: DeviceProgress, seen: Observation) -> tuple[DeviceProgress, str]:
    limits = step.rollout.plan.gates
    trouble = gates.against(progress, seen, limits, step.now_ms)
    if trouble or progress.phase is DevicePhase.TOLD or seen.last_seen_ms <= progress.heard_ms:
        return progress, trouble
    over = gates.over_limit(progress, seen, limits)
    strikes = progress.strikes + 1 if over else 0
    progress = replace(progress, strikes=strikes, heard_ms=seen.last_seen_ms)
    step.put(progress)
    return progress, over if strikes >= gates.STRIKES else ""


def _confirm(step: Step, progress: DeviceProgress, verdict: str, reason: str) -> None:
    waited_s = (step.now_ms - progress.updated_ms) / 1000
    if verdict != "confirmed":
        if waited_s <= step.rollout.plan.gates.verdict_s:
            return
        reason = f"no verdict of its own in {waited_s:.0f} s, and nothing against it"
    done = replace(progress, phase=DevicePhase.CONFIRMED, ended_ms=step.now_ms, reason=reason)
    step.put(done, "confirmed", reason)


def _fail(step: Step, progress: DeviceProgress, reason: str) -> None:
    failed = replace(progress, phase=DevicePhase.FAILED, ended_ms=step.now_ms, reason=reason[:500])
    step.put(failed, "failed", reason)


def _halt_if_bad(step: Step) -> None:
    failed = step.in_phase(DevicePhase.FAILED)
    if not failed:
        return
    rollout, told = step.rollout, step.in_phase(*HAS_IT)
    is_first = rollout.stage == 0
    share = len(failed) / len(told)
    if is_first or share > rollout.plan.gates.max_failed_share:
        worst = failed[0]
        where = f"stage {rollout.stage + 1} ({say_stage(rollout.plan.stages[rollout.stage])})"
        reason = f"{len(failed)} of {len(told)} devices failed in {where}: {worst.device}: {worst.reason}"
        step.rollout, decision = halted(rollout, reason, step.now_ms)
        step.decisions.append(decision)


def _take_back_failed(step: Step, seen: Mapping[DeviceAddress, Observation]) -> None:
    """Where some may fail and the rollout goes on, they go back alone."""
    for progress in step.in_phase(DevicePhase.FAILED):
        found = seen.get(progress.address)
        is_told = progress.command == CommandName.ROLLBACK
        if found is None:
            continue
        if is_told and not progress.answered and (found.response or found.sha256 != step.rollout.plan.sha256):
            step.put(replace(progress, answered=True))
        elif step.now_ms - progress.ended_ms < GRACE_MS:
            continue
        elif not is_told and found.is_online and found.sha256 == step.rollout.plan.sha256:
            _order(step, progress, CommandName.ROLLBACK, "rollback")


def _tell_more(step: Step, seen: Mapping[DeviceAddress, Observation]) -> None:
    rollout = step.rollout
    stage = rollout.plan.stages[rollout.stage]
    room = min(
        stage_size(stage, len(step.devices)) - len(step.in_phase(*HAS_IT)),
        rollout.plan.at_once - len(step.in_phase(*UNDER_WAY)),
    )
    for address in in_order(rollout.id, (one.address for one in step.in_phase(DevicePhase.PENDING))):
        if room <= 0:
            return
        found = seen.get(address)
        if found is None or not found.is_online:
            continue
        _tell(step, step.devices[address], found)
        room -= 1


def _tell(step: Step, progress: DeviceProgress, seen: Observation) -> None:
    plan, now_ms = step.rollout.plan, step.now_ms
    progress = replace(progress, stage=step.rollout.stage, told_ms=now_ms, before=seen.before())
    if seen.sha256 == plan.sha256:
        done = replace(progress, phase=DevicePhase.CONFIRMED, ended_ms=now_ms, reason="ran it already")
        step.put(done, "confirmed", "it runs this model already")
        return
    _order(step, replace(progress, phase=DevicePhase.TOLD), CommandName.SET_MODEL, "told")


def _end_stage(step: Step, seen: Mapping[DeviceAddress, Observation]) -> None:
    rollout, plan = step.rollout, step.rollout.plan
    pending = step.in_phase(DevicePhase.PENDING)
    told = len(step.in_phase(*HAS_IT))
    # Of percents those that are offline are left for later; canaries must be there, or nothing was tried.
    reachable = [one for one in pending if one.address in seen and seen[one.address].is_online]
    missing = stage_size(plan.stages[rollout.stage], len(step.devices)) - told
    is_last = rollout.stage + 1 == len(plan.stages)
    is_short = missing > 0 and (is_last or rollout.stage == 0 or bool(reachable))
    if not step.devices or is_short or step.in_phase(*UNDER_WAY):
        if rollout.held_since_ms:
            step.rollout = replace(rollout, held_since_ms=0)
        return
    if not rollout.held_since_ms:
        step.decide("holding", f"all {told} devices are confirmed", held_since_ms=step.now_ms)
        rollout = step.rollout
    if step.now_ms - rollout.held_since_ms < plan.hold_s * 1000:
        return
    if is_last:
        failed = len(step.in_phase(DevicePhase.FAILED))
        told_well = f"{told - failed} devices run it" + (f", {failed} failed" if failed else "")
        step.decide("done", told_well, phase=Phase.DONE, reason=told_well, ended_ms=step.now_ms)
    else:
        following = plan.stages[rollout.stage + 1]
        step.decide(
            f"stage {rollout.stage + 2}",
            f"{say_stage(following)}: nothing stood against it for {plan.hold_s:g} s",
            stage=rollout.stage + 1,
            held_since_ms=0,
        )


def _recall(step: Step, seen: Mapping[DeviceAddress, Observation]) -> None:
    """Everybody back on what ran before; whoever is offline is told when it returns."""
    for progress in step.in_phase(DevicePhase.PENDING):
        step.put(replace(progress, phase=DevicePhase.LEFT_OUT))
    for progress in step.in_phase(*HAS_IT, DevicePhase.RECALLED, DevicePhase.BACK):
        found = seen.get(progress.address)
        if found is not None:
            _recall_one(step, progress, found)
    waiting = [one for one in step.in_phase(*HAS_IT, DevicePhase.RECALLED) if one.address in seen]
    if not waiting and step.rollout.phase is Phase.HALTING:
        back = len(step.in_phase(DevicePhase.BACK))
        step.decide(
            "taken back", f"{back} devices run what they ran before", phase=Phase.HALTED, ended_ms=step.now_ms
        )
    elif waiting and step.rollout.phase is Phase.HALTED:
        step.decide("halting", f"{len(waiting)} devices have the model again", phase=Phase.HALTING)


def _recall_one(step: Step, progress: DeviceProgress, seen: Observation) -> None:
    plan = step.rollout.plan
    runs_it = seen.sha256 == plan.sha256
    if progress.phase is DevicePhase.BACK:
        ran_it = progress.before.sha256 == plan.sha256
        if runs_it and not ran_it and seen.is_online:  # it was just switching when it was called off
            _order(step, replace(progress, phase=DevicePhase.RECALLED), CommandName.ROLLBACK, "rollback")
        return
    if progress.before.sha256 == plan.sha256:
        step.put(replace(progress, phase=DevicePhase.BACK, reason="ran it before the rollout"))
        return
    if progress.phase is DevicePhase.RECALLED:
        _follow_recall(step, progress, seen, runs_it=runs_it)
        return
    verdict, _ = gates.own_verdict(progress, seen, plan.sha256)
    if verdict == "failed" and not runs_it:
        _back(step, progress, seen)
        return
    if progress.command == CommandName.ROLLBACK:  # told when it failed, while the rollout went on
        step.put(replace(progress, phase=DevicePhase.RECALLED))
        return
    if runs_it and progress.phase is DevicePhase.UPDATED:
        step.put(replace(progress, phase=DevicePhase.FAILED, ended_ms=step.now_ms, reason="halted"))
        return
    if runs_it and progress.phase is DevicePhase.FAILED and step.now_ms - progress.ended_ms < GRACE_MS:
        return
    if seen.is_online:
        name = CommandName.ROLLBACK if runs_it else CommandName.SET_MODEL
        what = "rollback" if runs_it else "called off"
        _order(step, replace(progress, phase=DevicePhase.RECALLED, answered=False), name, what)


def _follow_recall(step: Step, progress: DeviceProgress, seen: Observation, *, runs_it: bool) -> None:
    if seen.response is not None and not progress.answered:
        refused = seen.refused()
        if refused and runs_it:
            if step.now_ms - progress.issued_ms >= REFUSED_MS:
                step.put(progress, "rollback refused", refused)
                _order(step, progress, CommandName.ROLLBACK, "told anew")
            return
        progress = replace(progress, answered=True)
        step.put(progress)
    # A second rollback would take it one model further back: once it runs another one, none is sent any more.
    if not runs_it and (progress.answered or progress.command == CommandName.ROLLBACK):
        _back(step, progress, seen)
        return
    if runs_it and progress.answered and progress.command == CommandName.SET_MODEL and seen.is_online:
        _order(step, replace(progress, answered=False), CommandName.ROLLBACK, "rollback")


def _back(step: Step, progress: DeviceProgress, seen: Observation) -> None:
    before = progress.before.sha256
    reason = "runs what it ran before"
    if before and seen.sha256 != before:
        reason = f"runs {seen.sha256[:16] or 'a model without a digest'}, and ran {before[:16]} before"
    step.put(replace(progress, phase=DevicePhase.BACK, ended_ms=step.now_ms), "back", reason)


def _order(step: Step, progress: DeviceProgress, name: str, what: str) -> None:
    """A new command; its id says the rollout, the device's place in it is in the state."""
    progress = replace(
        progress,
        command=name,
        command_id=f"{step.rollout.id}-{len(step.decisions)}-{step.now_ms}",
        issued_ms=step.now_ms,
        sent_ms=step.now_ms,
        answered=False,
    )
    step.put(progress, what)
    step.orders.append(_as_order(step.rollout, progress))


def _as_order(rollout: Rollout, progress: DeviceProgress) -> Order:
    plan = rollout.plan
    arguments: dict[str, Value] = {"pipeline": plan.pipeline} if plan.pipeline else {}
    if progress.command == CommandName.ROLLBACK:
        arguments["sha256"] = plan.sha256
    if progress.command == CommandName.SET_MODEL:
        arguments["target"] = ""  # called off: the candidate goes, what runs stays
        if progress.phase is DevicePhase.TOLD:
            arguments |= {"target": plan.target, "sha256": plan.sha256}
            arguments |= {name: True for name in ("older", "again") if getattr(plan, name)}
    return Order(
        address=progress.address,
        command_id=progress.command_id,
        issued_ms=progress.issued_ms,
        expires_ms=progress.issued_ms + COMMAND_LIFE_MS,
        name=progress.command,
        arguments=arguments,
    )


def _send_again(step: Step, seen: Mapping[DeviceAddress, Observation]) -> None:
    """What was not answered: lost on the way, or decided just before this process was killed."""
    fresh = {order.address for order in step.orders}
    for progress in step.in_phase(DevicePhase.TOLD, DevicePhase.RECALLED, DevicePhase.FAILED):
        found = seen.get(progress.address)
        if progress.phase is DevicePhase.FAILED and progress.command != CommandName.ROLLBACK:
            continue
        if progress.address in fresh or progress.answered or found is None or not found.is_online:
            continue
        if step.now_ms - progress.issued_ms > COMMAND_LIFE_MS / 2:
            _order(step, progress, progress.command, "told anew")
        elif step.now_ms - progress.sent_ms >= RESEND_MS:
            again = replace(progress, sent_ms=step.now_ms)
            step.put(again)
            step.orders.append(_as_order(step.rollout, again))
