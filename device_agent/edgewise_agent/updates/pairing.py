"""Which answer of a candidate belongs to which of the current model, and how many of them are alike."""

from collections import deque
from typing import Any

from edgewise_agent.updates.agreement import Rule, is_alike, rule_of
from edgewise_agent.updates.live_model import GroupAgreement
from edgewise_agent.updates.settings import AlikeSettings

PENDING = 256
"""Answers of the current model that wait for one of the candidate; the oldest one that found none was not alike."""
KEPT = 256
"""Answers of the candidate that may still belong to one."""

_Placed = tuple[float, Any]


class Pairing:
    """Answers come in the order of the stream; each has a place in it, in inputs. Its memory does not grow.

    An answer is held against the candidate's nearest one, and, where the rule says so, against the neighbours of that.
    """

    def __init__(self, limits: AlikeSettings, *, remembers: bool) -> None:
        self._limits, self._remembers = limits, remembers
        self._own: deque[_Placed] = deque()
        self._others: deque[_Placed] = deque(maxlen=KEPT)
        self._groups: dict[str, list[int]] = {}
        self.inputs = self.agreed = 0

    def add(self, place: float, own: list[Any], others: list[Any]) -> None:
        """What both said of the input at this place; judges what can be judged by now."""
        self._own += _spread(place, own)
        self._others += _spread(place, others)
        while self._own and self._judge(self._own[0], is_last=False):
            self._own.popleft()
        if len(self._own) > PENDING:
            self._count(self._own.popleft()[1], None)

    def cut(self) -> None:
        """The stream has a gap here, or ends: judge what waits by what there is."""
        if self._others:
            for placed in self._own:
                self._judge(placed, is_last=True)
            self._own.clear()
        self._others.clear()

    def end(self) -> None:
        """No more is coming: what was never answered was not answered alike."""
        self.cut()
        for _, own in self._own:
            self._count(own, None)
        self._own.clear()

    def groups(self) -> tuple[GroupAgreement, ...]:
        """By the current model's answers, where there is more than one group."""
        named = {name: counts for name, counts in self._groups.items() if name}
        return tuple(GroupAgreement(name, *counts) for name, counts in sorted(named.items()))

    def _judge(self, placed: _Placed, *, is_last: bool) -> bool:
        """Whether it was judged, or began before the candidate did and is left out."""
        place, own = placed
        others = list(self._others)
        if not others or (others[-1][0] < place and not is_last):
            return False
        rule = rule_of(own, remembers=self._remembers)
        around = rule.neighbours(self._limits)
        nearest = min(range(len(others)), key=lambda i: abs(others[i][0] - place))
        if nearest + around >= len(others) and not is_last:
            return False
        near = others[max(nearest - around, 0) : nearest + around + 1]
        self._count(own, rule, [other for _, other in near])
        return True

    def _count(self, own: Any, rule: Rule | None, others: list[Any] | None = None) -> None:
        rule = rule or rule_of(own, remembers=self._remembers)
        counts = self._groups.setdefault(rule.group(own), [0, 0])
        agrees = any(is_alike(rule, own, other, self._limits) for other in others or ())
        self.inputs += 1
        self.agreed += agrees
        counts[0] += 1
        counts[1] += agrees


def _spread(place: float, answers: list[Any]) -> list[_Placed]:
    """Several answers to one input lie between it and the one before."""
    return [(place + (i + 1) / len(answers) - 1, answer) for i, answer in enumerate(answers)]
