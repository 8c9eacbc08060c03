"""All rules of one pipeline: each answer is looked at once."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgewise_agent.errors import InvalidSettings, RuleFailed
from edgewise_agent.rules.compiling import Rule, Surroundings, compile_rules
from edgewise_agent.rules.facts import Facts, facts_of
from edgewise_agent.rules.rule_state import Change
from edgewise_agent.rules.scene import EITHER, Scene, Sight
from edgewise_agent.rules.settings import RulesSettings
from edgewise_agent.rules.wording import fill_message
from edgewise_messages import Severity

TELL_PROBLEMS_EVERY_S = 60.0
SHOWN = ("label", "score", "total", "is_anomalous", "text")
"""What every event of a rule tells, as far as the answer has it."""
MAX_TEXT = 500


@dataclass(frozen=True)
class Fired:
    """What one rule has to tell about one input."""

    rule: str
    change: Change
    severity: Severity
    message: str
    ts_ms: int
    snapshot: bool
    """Whether the input is to be kept."""
    data: Mapping[str, float | int | bool | str] = field(default_factory=dict)

    @property
    def event(self) -> str:
        """The event's name."""
        return f"rule.{self.rule}"


@dataclass(frozen=True)
class RuleTrouble:
    """Rules that had no value, since the last time it was told."""

    counts: Mapping[str, int]
    """By rule."""
    last: str
    """The latest reason."""


class RuleSet:
    """Used on one thread. Its memory is bounded by the settings, not by what it sees."""

    def __init__(self, settings: RulesSettings, *, kind: str = "", labels: tuple[str, ...] = ()) -> None:
        """``kind`` of answers (`KINDS` has it by task) and the model's labels, where known, are checked too.

        Raises InvalidSettings with every problem found.
        """
        self._rules, problems = compile_rules(Surroundings(settings, kind, labels))
        if problems:
            raise InvalidSettings("rules", problems)
        self._scene = Scene(settings)
        self._failed: Counter[str] = Counter()
        self._last_failure = ""
        self._next_trouble_s = 0.0
        self.failures = 0
        """How often a rule had no value, since the start."""

    def look(self, result: Any, *, mono_s: float, ts_ms: int) -> list[Fired]:
        """What the rules have to tell about the answer to one input. Never raises for what an answer holds."""
        try:
            facts = facts_of(result)
        except TypeError as error:
            self._count("*", str(error))
            return []
        sight = self._scene.look(facts.boxes, mono_s=mono_s)
        common = _values(facts, sight)
        fired = []
        for rule in self._rules:
            try:
                one = _look(rule, common, mono_s=mono_s, ts_ms=ts_ms)
            except RuleFailed as error:
                self._count(rule.settings.name, str(error))
                continue
            if one is not None:
                fired.append(one)
        return fired

    def take_trouble(self, *, mono_s: float) -> RuleTrouble | None:
        """What went wrong since the last time, at most once a minute; for an event."""
        if not self._failed or mono_s < self._next_trouble_s:
            return None
        self._next_trouble_s = mono_s + TELL_PROBLEMS_EVERY_S
        trouble = RuleTrouble(dict(self._failed), self._last_failure)
        self._failed.clear()
        return trouble

    def _count(self, rule: str, reason: str) -> None:
        self._failed[rule] += 1
        self.failures += 1
        self._last_failure = f"{rule}: {reason}"


def _look(rule: Rule, common: Mapping[str, Any], *, mono_s: float, ts_ms: int) -> Fired | None:
    """Raises RuleFailed; windows whose value is known have taken it in then."""
    values = dict(common)
    failure: RuleFailed | None = None
    for name, (expression, window) in rule.windows.items():
        try:
            window.add(float(expression.value(common)), mono_s=mono_s)
        except RuleFailed as error:
            failure = error
        values[name] = window.value()
    if failure is not None:
        raise failure
    holds = bool(rule.when.value(values))
    clears = bool(rule.clear_when.value(values)) if rule.clear_when else not holds
    change = rule.state.step(holds, clears=clears, mono_s=mono_s)
    if change is None:
        return None
    settings = rule.settings
    data: dict[str, Any] = {"change": change.value}
    data |= {name: _shown(values[name]) for name in SHOWN if values[name] not in ("", 0) or name == "score"}
    data |= {name: values[name] for name in rule.windows}
    if change is Change.ENDED:
        data["lasted_s"] = round(mono_s - rule.state.began_s, 3)
    is_end = change is Change.ENDED
    message = fill_message(settings.message, values) if settings.message else ""
    return Fired(
        settings.name,
        change,
        Severity.INFO if is_end else settings.severity,
        message,
        ts_ms,
        settings.snapshot and not is_end,
        data,
    )


def _values(facts: Facts, sight: Sight) -> dict[str, Any]:
    """Every word of the vocabulary."""
    return {
        "label": facts.label,
        "score": float(facts.score),
        "margin": float(facts.margin),
        "total": float(facts.total),
        "text": facts.text,
        "threshold": float(facts.threshold),
        "is_anomalous": bool(facts.is_anomalous),
        "top_channel": facts.top_channel,
        "is_speech": facts.is_speech,
        "duration_s": float(facts.duration_s),
        "boxes": list(facts.boxes),
        "count": lambda label: float(facts.counts.get(label, 0)),
        "score_of": lambda label: float(facts.scores.get(label, 0.0)),
        "share": lambda label: float(facts.shares.get(label, 0.0)),
        "output": lambda name: _output(facts.outputs, name),
        "in_zone": lambda zone, label="": float(sight.in_zone.get((zone, label), 0)),
        "stay_s": lambda zone, label="": float(sight.stay_s.get((zone, label), 0.0)),
        "crossed": lambda line, to=EITHER, label="": float(sight.crossed.get((line, to, label), 0)),
    }


def _output(outputs: Mapping[str, float], name: str) -> float:
    if name not in outputs:
        raise ValueError(f"output(): got {name!r}, expected one of {', '.join(map(repr, outputs))}")
    return outputs[name]


def _shown(value: Any) -> Any:
    return (
        value[:MAX_TEXT] if isinstance(value, str) else round(value, 6) if isinstance(value, float) else value
    )
