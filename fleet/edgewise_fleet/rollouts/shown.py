"""Rollouts as the page shows them, and what the page may do to them."""

from collections import Counter
from collections.abc import Callable, Sequence

from edgewise_fleet.errors import BadRollout
from edgewise_fleet.rollouts.plan import say_stage
from edgewise_fleet.rollouts.state import DevicePhase, Phase, Rollout
from edgewise_fleet.rollouts.wishes import halt, pause, resume
from edgewise_fleet.rollouts_view import RolloutLine
from edgewise_fleet.steering.base import RolloutStore

_ACTIONS = {
    Phase.RUNNING: ("pause", "roll back"),
    Phase.PAUSED: ("resume", "roll back"),
    Phase.DONE: ("roll back",),
}


class ShownRollouts:
    """A `RolloutsView` over the store of rollouts. May be called from any thread."""

    def __init__(self, store: RolloutStore) -> None:
        self._store = store

    def lines(self) -> Sequence[RolloutLine]:
        """Newest first."""
        return [self._line(rollout) for rollout in reversed(self._store.rollouts())]

    def act(self, key: str, action: str, *, who: str) -> str:
        """Do it in the name of ``who``. Raises BadRollout."""
        wishes: dict[str, Callable[[], Rollout]] = {
            "pause": lambda: pause(self._store, key),
            "resume": lambda: resume(self._store, key),
            "roll back": lambda: halt(self._store, key, f"taken back by {who}"),
        }
        if action not in wishes:
            raise BadRollout(f"rollout {key}: got the action {action!r}, expected one of {', '.join(wishes)}")
        rollout = wishes[action]()
        return f"rollout {rollout.id} of {rollout.plan.target} is {rollout.phase.value}"

    def _line(self, rollout: Rollout) -> RolloutLine:
        tally = Counter(one.phase for one in self._store.progress(rollout.id).values())
        stages = rollout.plan.stages
        return RolloutLine(
            key=rollout.id,
            model=f"{rollout.plan.target} version {rollout.plan.version}",
            phase=rollout.phase.value,
            stage=f"{rollout.stage + 1} of {len(stages)} ({say_stage(stages[rollout.stage])})",
            counts=tuple((phase.value, tally[phase]) for phase in DevicePhase if tally[phase]),
            reason=rollout.reason,
            actions=_ACTIONS.get(rollout.phase, ()),
        )
