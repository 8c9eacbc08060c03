"""From settings to rules that were checked: every problem is found before the first input."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgewise_agent.errors import InvalidExpression, Problem
from edgewise_agent.rules.expressions import Expression, compile_expression
from edgewise_agent.rules.rule_state import RuleState
from edgewise_agent.rules.scene import EITHER, LEFT, RIGHT
from edgewise_agent.rules.settings import RuleSettings, RulesSettings, WindowSettings
from edgewise_agent.rules.vocabulary import COMMON, Kind, Vocabulary
from edgewise_agent.rules.windows import Window
from edgewise_agent.rules.wording import check_message

_SIDES = (LEFT, RIGHT, EITHER)
_WHERE = {"in_zone": ("zone", "label"), "stay_s": ("zone", "label"), "crossed": ("line", "side", "label")}
"""What the arguments of a function name."""
_TAKEN = (
    "change",
    "lasted_s",
    "input",
    "snapshot",
    "and",
    "or",
    "not",
    "in",
    "for",
    "if",
    "true",
    "false",
    "null",
    "inf",
    "nan",
)
"""What events of rules tell, and the words of the language itself."""
_LABELS = ("count", "score_of", "share")


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule, checked, with its state."""

    settings: RuleSettings
    when: Expression
    clear_when: Expression | None
    windows: Mapping[str, tuple[Expression, Window]]
    state: RuleState


@dataclass(frozen=True)
class Surroundings:
    """What a rule may name."""

    settings: RulesSettings
    kind: str = ""
    """Of the answers; "" while it is not known yet."""
    labels: tuple[str, ...] = ()
    """Of the model; empty while they are not known."""


def compile_rules(around: Surroundings) -> tuple[tuple[Rule, ...], tuple[Problem, ...]]:
    """The rules, and every problem in them."""
    rules, problems = [], _line_problems(around.settings)
    seen: set[str] = set()
    for place, one in enumerate(around.settings.rule):
        where = f"rules.rule[{place}] '{one.name}'"
        if one.name in seen:
            problems.append(Problem(where, "got a second rule of this name; give each its own"))
        if one.name == "failed":
            problems.append(
                Problem(where, "'rule.failed' is the event of rules without a value; give another name")
            )
        seen.add(one.name)
        rule, found = _compile(one, where, around)
        problems += found
        if rule is not None:
            rules.append(rule)
    return tuple(rules), tuple(problems)


def _compile(settings: RuleSettings, where: str, around: Surroundings) -> tuple[Rule | None, list[Problem]]:
    problems: list[Problem] = []

    def read(key: str, text: str, words: Vocabulary, expected: tuple[Kind, ...]) -> Expression | None:
        try:
            expression = compile_expression(text, words, expected=expected)
            _check_meaning(expression, words, around)
        except InvalidExpression as error:
            problems.append(Problem(f"{where}.{key}", str(error)))
            return None
        return expression

    windows: dict[str, tuple[Expression, Window]] = {}
    kinds: dict[str, Kind] = {}
    for name, window in settings.window.items():
        kinds[name] = "truth" if window.of in ("any", "all") else "number"
        problems += [Problem(f"{where}.window.{name}", text) for text in _window_problems(name, window)]
        value = read(f"window.{name}.value", window.value, COMMON, ("number", "truth"))
        if value is not None:
            windows[name] = value, Window(window)
    words = COMMON.with_windows(kinds)
    when = read("when", settings.when, words, ("truth",))
    clear_when = read("clear_when", settings.clear_when, words, ("truth",)) if settings.clear_when else None
    problems += [Problem(f"{where}.{key}", text) for key, text in _contradictions(settings, words)]
    if problems or when is None:
        return None, problems
    return Rule(settings, when, clear_when, windows, RuleState(settings)), []


def _window_problems(name: str, window: WindowSettings) -> Iterable[str]:
    if (window.last_s is None) == (window.last_inputs is None):
        yield "expected one of last_s and last_inputs"
    if name in COMMON.words or name in _TAKEN or not name.isidentifier():
        yield f"got the name {name!r}, expected letters, digits and _ that mean nothing else"


def _contradictions(settings: RuleSettings, words: Vocabulary) -> Iterable[tuple[str, str]]:
    if settings.tell == "each" and (settings.clear_when or settings.tell_end):
        yield "tell", 'got "each" with clear_when or tell_end, which need tell = "change"'
    known = {word.name: word.kind for word in words.words.values() if word.kind not in ("function", "boxes")}
    try:
        check_message(settings.message, known)
    except InvalidExpression as error:
        yield "message", str(error)


def _check_meaning(expression: Expression, words: Vocabulary, around: Surroundings) -> None:
    """Words and names that cannot be true are mistakes, not rules that never fire. Raises InvalidExpression."""
    for word in sorted(expression.words):
        if around.kind and around.kind not in words.words[word].of:
            raise InvalidExpression(
                f"{word!r} has no meaning for answers of the kind '{around.kind}'",
                column=expression.column_of(word),
            )
    for call in expression.calls:
        roles = _WHERE.get(call.name, ("label",) if call.name in _LABELS else ())
        for role, text in zip(roles, call.texts, strict=False):
            known = _names(role, around)
            if (
                text is not None
                and known is not None
                and text not in known
                and not (role == "label" and not text)
            ):
                raise InvalidExpression(
                    f"{call.name}(): unknown {role} {text!r}; known are {_listed(known)}",
                    column=expression.column_of(call.name),
                )


def _names(role: str, around: Surroundings) -> Sequence[str] | None:
    if role == "zone":
        return tuple(around.settings.zones)
    if role == "line":
        return tuple(around.settings.lines)
    if role == "side":
        return _SIDES
    if around.kind == "poses":
        return ("person",)
    return around.labels or None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "") if names else "none"


def _line_problems(settings: RulesSettings) -> list[Problem]:
    return [
        Problem(f"rules.lines.{name}", "got two ends at one place, expected two different ones")
        for name, (start, end) in settings.lines.items()
        if start == end
    ]
